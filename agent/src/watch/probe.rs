//! Asking a server: every probe is bounded in time by its target's timeout, and in bytes by what it reads.

mod ber;
mod directory;
mod dns;
mod http;
mod icmp;
mod mail;
mod ntp;
mod stream;

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::net::ToSocketAddrs as _;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::target::{Fault, FaultKind, Outcome, Probe, Target};

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Look-ups of names at once: the system's resolver holds a thread for each, and does not let go of it when nobody waits any more.
pub(super) const LOOKUPS_MAX: usize = 4;
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// Why a probe did not find all well.
#[derive(Debug)]
pub(super) enum Failure {
    Down(Fault),
    Degraded(Fault),
    Unable(String),
}

impl Failure {
    /// It does not do what it is there for.
    pub(super) fn down(kind: FaultKind, detail: impl core::fmt::Display) -> Self {
        Self::Down(Fault::new(kind, detail))
    }
}

/// Asks once.
pub(super) async fn ask(target: &Target) -> Outcome {
    let begun = Instant::now();
    let asked = async {
        match &target.probe {
            Probe::Icmp => icmp::ask(target).await,
            Probe::Tcp => connect(target).await.map(drop),
            Probe::Http(http) => http::ask(target, http).await,
            Probe::Dns(dns) => dns::ask(target, dns).await,
            Probe::Mail(mail) => mail::ask(target, mail).await,
            Probe::Ldap => directory::ldap(target).await,
            Probe::Kerberos { realm } => directory::kerberos(target, realm).await,
            Probe::Ntp { max_offset } => ntp::ask(target, *max_offset).await,
        }
    };
    let seconds = target.timeout.as_secs_f32();
    let late = || Failure::down(FaultKind::NoAnswer, format_args!("nothing within {seconds} s"));
    let answer = timeout(target.timeout, asked).await.unwrap_or_else(|_elapsed| Err(late()));
    let took = begun.elapsed();
    match answer {
        Ok(()) => match target.slow_after {
            Some(slow) if took > slow => {
                Outcome::Degraded(Fault::new(FaultKind::Slow, format_args!("{} ms", took.as_millis())))
            }
            Some(_) | None => Outcome::Up(took),
        },
        Err(Failure::Down(fault)) => Outcome::Down(fault),
        Err(Failure::Degraded(fault)) => Outcome::Degraded(fault),
        Err(Failure::Unable(reason)) => Outcome::Unable(reason),
    }
}

/// The addresses of a target, as many as are tried.
async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let no_name = |cause: &dyn core::fmt::Display| Failure::down(FaultKind::NoName, cause);
    // A resolver that does not answer is a fault of it, not of the server: it has half of the time.
    let found = timeout(target.timeout / 2, look_up(target.host.clone(), target.port)).await;
    let found = found.map_err(|_elapsed| no_name(&"the resolver does not answer"))?;
    let found = found.map_err(|cause| no_name(&cause))?;
    if found.is_empty() { Err(no_name(&"it has no address")) } else { Ok(found) }
}

async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let permit = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let looking = tokio::task::spawn_blocking(move || {
        let _held_until_it_is_over = permit;
        Ok((&*host, port).to_socket_addrs()?.take(ADDRESSES_MAX).collect())
    });
    looking.await.map_err(io::Error::other)?
}

/// A connection to the first address that takes one.
async fn connect(target: &Target) -> Result<TcpStream, Failure> {
    let addresses = addresses(target).await?;
    let each = target.timeout / u32::try_from(addresses.len()).unwrap_or(1);
    let mut failure = Failure::down(FaultKind::NoAnswer, "it has no address");
    for address in addresses {
        failure = match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(cause)) => of_io(&cause),
            Err(_elapsed) => late(each),
        };
    }
    Err(failure)
}

fn late(waited: Duration) -> Failure {
    Failure::down(FaultKind::NoAnswer, format_args!("nothing within {} s", waited.as_secs_f32()))
}

/// What an error of the system says about the server.
fn of_io(cause: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let kind = cause.kind();
    let broken = [
        Kind::UnexpectedEof,
        Kind::ConnectionReset,
        Kind::ConnectionAborted,
        Kind::BrokenPipe,
        Kind::InvalidData,
    ];
    let kind = if kind == Kind::ConnectionRefused {
        FaultKind::Refused
    } else if kind == Kind::NetworkUnreachable || kind == Kind::NetworkDown {
        FaultKind::NoRoute
    } else if broken.contains(&kind) {
        FaultKind::Broken
    } else {
        FaultKind::NoAnswer
    };
    Failure::down(kind, cause)
}

/// Whether a certificate lasts long enough.
fn lasting(certificate: Option<&CertificateDer<'_>>, days: u32) -> Result<(), Failure> {
    let Some(certificate) = certificate else {
        return Err(Failure::down(FaultKind::Certificate, "it shows none"));
    };
    let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else {
        return Err(Failure::down(FaultKind::Certificate, "it cannot be read"));
    };
    let ends = read.validity().not_after;
    let now = i64::try_from(crate::clock::now().secs()).unwrap_or(i64::MAX);
    let left = ends.timestamp().saturating_sub(now) / 86_400;
    if left >= i64::from(days) {
        return Ok(());
    }
    Err(Failure::Degraded(Fault::new(
        FaultKind::CertificateSoon,
        format_args!("{left} days left, until {ends}"),
    )))
}

#[cfg(test)]
mod tests;
