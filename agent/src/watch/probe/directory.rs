//! Active Directory and its like: an anonymous search of the root DSE over LDAP, and an AS-REQ to a Kerberos server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ber::{element, elements, group, head};
use super::{Failure, connect, of_io};
use crate::watch::target::{FaultKind, Target};

/// Of one message.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Of messages before the one that ends a search.
const MESSAGES_MAX: usize = 16;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;

/// Searches the root DSE: base object, no name, any class, the attribute `namingContexts`.
pub(super) async fn ldap(target: &Target) -> Result<(), Failure> {
    let mut stream = connect(target).await?;
    stream.write_all(&search()).await.map_err(|cause| of_io(&cause))?;
    let mut entries = 0_u32;
    for _message in 0..MESSAGES_MAX {
        let message = message(&mut stream).await?;
        // Message id, then what it is.
        match elements(&message).nth(1) {
            Some((SEARCH_ENTRY, _)) => entries += 1,
            Some((SEARCH_DONE, result)) => return judge(result, entries),
            Some((tag, _)) => return Err(broken(format_args!("an answer of kind {tag:#x}"))),
            None => return Err(broken("an answer that is no LDAP message")),
        }
    }
    Err(Failure::down(FaultKind::TooLarge, format_args!("more than {MESSAGES_MAX} messages")))
}

fn search() -> Vec<u8> {
    let any_class = element(0x87, b"objectClass");
    let attributes = group(SEQUENCE, &[element(OCTETS, b"namingContexts")]);
    let request = group(
        0x63,
        &[
            element(OCTETS, b""),
            element(ENUMERATED, &[0]),
            element(ENUMERATED, &[0]),
            // One entry, for at most ten seconds.
            element(INTEGER, &[1]),
            element(INTEGER, &[10]),
            element(0x01, &[0]),
            any_class,
            attributes,
        ],
    );
    group(SEQUENCE, &[element(INTEGER, &[1]), request])
}

fn judge(result: &[u8], entries: u32) -> Result<(), Failure> {
    match elements(result).next() {
        Some((ENUMERATED, [0])) if entries > 0 => Ok(()),
        Some((ENUMERATED, [0])) => Err(Failure::down(FaultKind::Content, "there is no root DSE")),
        Some((ENUMERATED, [code])) => {
            Err(Failure::down(FaultKind::Status, format_args!("LDAP result {code}")))
        }
        Some(_) | None => Err(broken("a result without a code")),
    }
}

/// The content of one message; what comes behind it is left.
async fn message(stream: &mut TcpStream) -> Result<Vec<u8>, Failure> {
    let mut begun = Vec::with_capacity(8);
    let length = loop {
        begun.push(stream.read_u8().await.map_err(|cause| of_io(&cause))?);
        match head(&begun) {
            Ok(Some((SEQUENCE, _, length))) => break length,
            Ok(Some((tag, ..))) => return Err(broken(format_args!("it begins with {tag:#x}"))),
            Ok(None) => {}
            Err(_too_long) => return Err(Failure::down(FaultKind::TooLarge, "a message without end")),
        }
    };
    read(stream, length).await
}

async fn read(stream: &mut TcpStream, length: usize) -> Result<Vec<u8>, Failure> {
    if length > MESSAGE_BYTES_MAX {
        return Err(Failure::down(FaultKind::TooLarge, format_args!("a message of {length} bytes")));
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.map_err(|cause| of_io(&cause))?;
    Ok(content)
}

fn broken(what: impl core::fmt::Display) -> Failure {
    Failure::down(FaultKind::Broken, what)
}

/// A ticket.
const AS_REP: u8 = 0x6b;
/// No, because.
const KRB_ERROR: u8 = 0x7e;
const GENERAL_STRING: u8 = 0x1b;
const GENERALIZED_TIME: u8 = 0x18;
const BIT_STRING: u8 = 0x03;
/// The server does not know this realm.
const WRONG_REALM: u8 = 68;

/// Asks for a ticket of a principal that nobody has: a server that serves the realm says why it gives none.
pub(super) async fn kerberos(target: &Target, realm: &str) -> Result<(), Failure> {
    let mut stream = connect(target).await?;
    let request = as_request(realm);
    let length = u32::try_from(request.len()).unwrap_or_default();
    let whole = [&length.to_be_bytes()[..], &request].concat();
    stream.write_all(&whole).await.map_err(|cause| of_io(&cause))?;
    let length = stream.read_u32().await.map_err(|cause| of_io(&cause))?;
    let answer = read(&mut stream, usize::try_from(length).unwrap_or(usize::MAX)).await?;
    match elements(&answer).next() {
        Some((AS_REP, _)) => Ok(()),
        Some((KRB_ERROR, error)) => match error_code(error) {
            Some(WRONG_REALM) => Err(Failure::down(FaultKind::Content, "it does not serve this realm")),
            Some(_) => Ok(()),
            None => Err(broken("an error without a code")),
        },
        Some((tag, _)) => Err(broken(format_args!("an answer of kind {tag:#x}"))),
        None => Err(broken("an answer that is no Kerberos message")),
    }
}

/// `[6] error-code` of a KRB-ERROR.
fn error_code(error: &[u8]) -> Option<u8> {
    let (_, fields) = elements(error).next()?;
    let (_, code) = elements(fields).find(|(tag, _)| *tag == 0xa6)?;
    let (_, code) = elements(code).next()?;
    code.last().copied()
}

fn as_request(realm: &str) -> Vec<u8> {
    let name = |kind: u8, parts: &[&str]| {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| element(GENERAL_STRING, part.as_bytes())).collect();
        let kind = element(0xa0, &element(INTEGER, &[kind]));
        group(SEQUENCE, &[kind, element(0xa1, &group(SEQUENCE, &parts))])
    };
    // AES with SHA-1 and SHA-2, which are what servers have.
    let kinds: Vec<Vec<u8>> = [18, 17, 20, 19].iter().map(|kind| element(INTEGER, &[*kind])).collect();
    let body = group(
        SEQUENCE,
        &[
            element(0xa0, &element(BIT_STRING, &[0, 0, 0, 0, 0])),
            element(0xa1, &name(1, &["sekimori-watch"])),
            element(0xa2, &element(GENERAL_STRING, realm.as_bytes())),
            element(0xa3, &name(2, &["krbtgt", realm])),
            element(0xa5, &element(GENERALIZED_TIME, b"20370913024805Z")),
            element(0xa7, &element(INTEGER, &[0x12, 0x34, 0x56, 0x78])),
            element(0xa8, &group(SEQUENCE, &kinds)),
        ],
    );
    let version = element(0xa1, &element(INTEGER, &[5]));
    let kind = element(0xa2, &element(INTEGER, &[10]));
    element(0x6a, &group(SEQUENCE, &[version, kind, element(0xa4, &body)]))
}
