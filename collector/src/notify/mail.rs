//! Mail: text only, by STARTTLS unless the configuration says otherwise; a server without it gets nothing.

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mime};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::settings::{Mail, Security, Settings};
use super::{DELIVERY_TIMEOUT, Failure, Letter};

/// Tells other machines not to answer (RFC 3834).
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Whether this is an address that can be written to.
///
/// # Errors
/// Says why not.
pub fn check(address: &str) -> Result<(), String> {
    let mailbox: Mailbox = address.parse().map_err(|cause| format!("is not a mail address: {cause}"))?;
    if address.chars().any(super::clean::is_harmful) || mailbox.email.to_string().len() > 254 {
        return Err("is not a mail address".to_owned());
    }
    Ok(())
}

/// Sends one letter.
///
/// # Errors
/// It was not accepted.
pub async fn send(settings: &Settings, to: &str, letter: &Letter) -> Result<(), Failure> {
    let Some(mail) = &settings.mail else {
        return Err(Failure::lasting("no mail server is configured any more"));
    };
    let message = mime(mail, to, letter)?;
    match transport(mail)?.send(message).await {
        Ok(_answer) => Ok(()),
        Err(error) => {
            let mut detail = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(one) = cause {
                detail = format!("{detail}: {one}");
                cause = one.source();
            }
            Err(Failure { lasting: error.is_permanent(), ..Failure::passing(detail) })
        }
    }
}

fn mime(mail: &Mail, to: &str, letter: &Letter) -> Result<Mime, Failure> {
    let address = |text: &str| text.parse::<Mailbox>().map_err(Failure::lasting);
    let from = address(&mail.from)?;
    // The same letter, sent again, has the same name: whoever has it sees that.
    let id = format!("<{}@{}>", sekimori_wire::id::Digest::of(letter.key.as_bytes()), from.email.domain());
    let written = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(letter.at.nanos());
    Mime::builder()
        .from(from)
        .to(address(to)?)
        .subject(letter.message.subject.clone())
        .message_id(Some(id))
        .date(written)
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.message.body.clone())
        .map_err(Failure::lasting)
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let tls = match mail.security {
        Security::None => Tls::None,
        Security::Starttls => Tls::Required(parameters(mail)?),
        Security::Tls => Tls::Wrapper(parameters(mail)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.server)
        .port(mail.port)
        .timeout(Some(DELIVERY_TIMEOUT))
        .tls(tls);
    if let Some((user, password)) = &mail.credentials {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(builder.build())
}

fn parameters(mail: &Mail) -> Result<TlsParameters, Failure> {
    let mut builder = TlsParameters::builder(mail.server.clone());
    if let Some(pem) = &mail.ca_pem {
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(pem).map_err(Failure::lasting)?);
    }
    builder.build_rustls().map_err(Failure::lasting)
}

#[cfg(test)]
mod tests;
