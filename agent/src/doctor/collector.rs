//! Asks a collector for nothing but its clock, over the connection that shipping would use: name, way, certificates, clock.
//!
//! Where a certificate is out of time the question is asked all the same, so that a wrong clock here can be told from an
//! expired certificate there: chain and name must be right in any case, and nothing of ours is sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimeParser;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use sekimori_wire::time::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Finding, Verdict};
use crate::clock;
use crate::identity::Identity;
use crate::line::Line;
use crate::ship::chain;
use crate::tls::{self, Connection, ConnectionError, Endpoint};

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Enough for any policy: what is said is not looked at.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// No policy is newer: the answer is empty.
const QUESTION: &str = "/v1/policy?have=9223372036854775807";
/// The answer shows full seconds, and chrony or timesyncd hold far less.
const SKEW: Duration = Duration::from_secs(5);

/// From when to when a certificate is good, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    /// `None` if it is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
    }

    /// What is wrong with it at this time.
    pub(super) fn fault(self, at: Timestamp) -> Option<String> {
        let now = i64::try_from(at.secs()).unwrap_or(i64::MAX);
        // Certificates know full seconds only.
        let shown = |seconds: i64| {
            let text = Timestamp::from_secs(u64::try_from(seconds).unwrap_or_default()).to_string();
            text.split_once('.').map_or_else(|| text.clone(), |(seconds, _zero)| format!("{seconds}Z"))
        };
        if now > self.until {
            return Some(format!("expired at {}", shown(self.until)));
        }
        (now < self.from).then(|| format!("is good only from {} on", shown(self.from)))
    }
}

/// Judges as shipping does, but lets a certificate pass that is out of time, and remembers it.
#[derive(Debug)]
struct Lenient {
    strict: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Validity>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let validity = Validity::of(end_entity);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = validity;
        let verify =
            |at| self.strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        match (verify(now), validity) {
            (
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. },
                )),
                Some(validity),
            ) => {
                let until = u64::try_from(validity.until).unwrap_or_default();
                verify(UnixTime::since_unix_epoch(Duration::from_secs(until)))
            }
            (judged, _) => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// What came of asking.
struct Answered {
    result: Result<u16, ConnectionError>,
    /// Of the collector's certificate, if it showed one.
    validity: Option<Validity>,
    /// The collector's clock, and ours when the answer was here.
    clocks: Option<(Timestamp, Timestamp)>,
}

async fn ask(endpoint: &Endpoint, identity: &Identity, line: &Line) -> Result<Answered, rustls::Error> {
    let lenient = Arc::new(Lenient { strict: tls::verifier(&identity.ca)?, seen: Mutex::new(None) });
    let judge: Arc<dyn ServerCertVerifier> = Arc::<Lenient>::clone(&lenient);
    let config = tls::client_config_with(identity, line, judge)?;
    let mut clocks = None;
    let result = async {
        let mut connection = Connection::open(endpoint, config, line).await?;
        let began = Instant::now();
        let reply = connection.ask(QUESTION, ANSWER_BYTES_MAX, ANSWER).await?;
        // Half of the round trip ago, at the best guess.
        let ours = clock::now().minus(began.elapsed() / 2);
        let theirs = reply.date.and_then(|date| DateTimeParser::new().parse_timestamp(&date).ok());
        let theirs = theirs.and_then(|at| u64::try_from(at.as_second()).ok());
        // In the middle of the second that it names.
        clocks = theirs.map(|seconds| (Timestamp::from_secs(seconds).plus(Duration::from_millis(500)), ours));
        Ok(reply.status.as_u16())
    }
    .await;
    let validity = *lenient.seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Answered { result, validity, clocks })
}

/// Everything that one address of the collector tells.
pub(super) fn examine(url: &str, identity: &Identity, line: &Line, reenrol: &str) -> Vec<Finding> {
    let bad = |check, what: String, mend: &str| Finding::new(check, url, Verdict::Bad, what, mend);
    let endpoint = match Endpoint::parse(url) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return vec![bad("collector", error.to_string(), "correct collector.urls in the configuration")];
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![bad("collector", format!("cannot be asked: {error}"), "ulimit -n")],
    };
    let answered = match runtime.block_on(ask(&endpoint, identity, line)) {
        Ok(answered) => answered,
        Err(error) => return vec![bad("certificate", format!("cannot be used for TLS: {error}"), reenrol)],
    };
    let own = identity.certificates.first().and_then(Validity::of);
    // What a collector does with an agent whose certificate has expired is to hang up.
    let is_expired = own.is_some_and(|own| own.fault(clock::now()).is_some());
    let mut findings = Vec::new();
    let way = line.proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
    match &answered.result {
        Ok(200..=299) => {
            findings.push(Finding::good("collector", url, format!("{url} accepts connections{way}")));
        }
        Ok(status) => findings.push(bad(
            "collector",
            format!("{url} answers {status} to this agent{way}: it may be revoked there"),
            "on the collector: sekimori-collector agent list",
        )),
        Err(ConnectionError::Request { .. }) if is_expired => {}
        Err(error) => findings.push(refused(&endpoint, url, line, error, reenrol)),
    }
    // Whose clock is right nobody here knows; certificates were issued by the collector's.
    let now = match answered.clocks {
        Some((theirs, ours)) => {
            findings.push(clocks(url, theirs, ours));
            theirs
        }
        None => clock::now(),
    };
    if let Some(fault) = answered.validity.and_then(|validity| validity.fault(now)) {
        let mend = "on the collector: sekimori-collector ca renew-server --config FILE, then systemctl reload \
                    sekimori-collector";
        findings.push(bad("certificate", format!("{url}: the collector's certificate {fault}"), mend));
    }
    findings.push(match own.and_then(|validity| validity.fault(now)) {
        Some(fault) => bad("certificate", format!("this agent's certificate {fault}"), reenrol),
        None => Finding::good("certificate", url, "this agent's certificate is good".to_owned()),
    });
    findings
}

fn refused(endpoint: &Endpoint, url: &str, line: &Line, error: &ConnectionError, reenrol: &str) -> Finding {
    let what = format!("{url}: {} (what is found stays in the spool until it answers)", chain(error));
    let (check, mend) = match error {
        ConnectionError::Connect { cause } if cause.raw_os_error().is_none() && is_name(cause) => {
            ("dns", format!("getent hosts {}, and the name servers in /etc/resolv.conf", endpoint.host()))
        }
        ConnectionError::Connect { .. } => (
            "collector",
            format!(
                "on the collector: systemctl start sekimori-collector; if it runs there, let {} through the firewall",
                endpoint.authority()
            ),
        ),
        ConnectionError::Proxy { .. } => {
            let proxy = line.proxy.as_ref().map(ToString::to_string).unwrap_or_default();
            ("collector", format!("curl --proxy {proxy} https://{}", endpoint.authority()))
        }
        ConnectionError::NotPostQuantum { .. } => {
            ("certificate", "upgrade the collector, or what stands before it".to_owned())
        }
        ConnectionError::Tls { .. } => (
            "certificate",
            format!("openssl s_client -connect {} shows who answers; {reenrol}", endpoint.authority()),
        ),
        ConnectionError::Request { .. } => {
            ("collector", "on the collector: sekimori-collector agent list (revoked?)".to_owned())
        }
        ConnectionError::Timeout | ConnectionError::Answer => {
            ("collector", "on the collector: journalctl -u sekimori-collector".to_owned())
        }
    };
    Finding::new(check, url, Verdict::Bad, what, &mend)
}

/// The resolver's errors have no number of the system.
fn is_name(cause: &std::io::Error) -> bool {
    cause.kind() != std::io::ErrorKind::TimedOut
}

fn clocks(url: &str, theirs: Timestamp, ours: Timestamp) -> Finding {
    let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
    let (far, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if far < SKEW {
        return Finding::good("clock", url, "this machine's clock is the collector's".to_owned());
    }
    let what =
        format!("this machine's clock is {} s {word} that of {url}: times are evidence", far.as_secs());
    Finding::new(
        "clock",
        url,
        Verdict::Bad,
        what,
        "timedatectl set-ntp true (with chrony: chronyc makestep); on the collector too if its clock is the wrong one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_good_within_its_time() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
        let certificate = params.self_signed(&key).unwrap();
        let validity = Validity::of(certificate.der()).unwrap();
        let at = |days: u64| Timestamp::from_secs(1_767_225_600 + days * 86_400);
        assert_eq!(validity.fault(at(5)), None);
        assert_eq!(validity.fault(at(32)).unwrap(), "expired at 2026-02-01T00:00:00Z");
        assert!(validity.fault(Timestamp::from_secs(1)).unwrap().starts_with("is good only from"));
        assert_eq!(Validity::of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn clocks_may_differ_by_little() {
        let at = Timestamp::from_secs;
        assert_eq!(clocks("c", at(1_000), at(1_004)).verdict, Verdict::Good);
        assert!(clocks("c", at(1_000), at(1_300)).what.contains("300 s ahead of"));
        assert!(clocks("c", at(1_300), at(1_000)).what.contains("300 s behind"));
    }
}
