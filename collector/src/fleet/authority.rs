//! The collector's own certificate authority, its server certificate, and the key that signs acknowledgements.
//!
//! `ca/ca.pem`, `ca/ca.key.pem`, `keys/server.pem` (leaf, then CA), `keys/server.key.pem`, `keys/ack.pk8`; all 0600. During a
//! swap ([`swap`](super::swap)) their successors too: `ca/next.pem`, `ca/next.key.pem`, `keys/ack.next.pk8`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
    SerialNumber,
};
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
const CA_LIFE: Duration = Duration::from_secs(3652 * 86_400);
/// Long, because agents trust the CA; swapping it is a maintenance matter of its own.
const SERVER_LIFE: Duration = Duration::from_secs(825 * 86_400);

/// Start of the URI that names an agent in its certificate; its identity follows.
pub const AGENT_URN: &str = "urn:sekimori:agent:";

/// Where the files lie.
#[derive(Clone, Debug)]
pub struct Paths {
    dir: PathBuf,
}

impl Paths {
    /// Below the folder of the configuration.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca/ca.pem")
    }
    /// The CA's key.
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join("ca/ca.key.pem")
    }
    /// The server's certificate with the CA's.
    pub fn server(&self) -> PathBuf {
        self.dir.join("keys/server.pem")
    }
    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("keys/server.key.pem")
    }
    /// The key that signs acknowledgements, PKCS#8.
    pub fn ack_key(&self) -> PathBuf {
        self.dir.join("keys/ack.pk8")
    }
    /// During a swap: the certificate of the CA that comes. That it is there is the swap.
    pub fn next_ca(&self) -> PathBuf {
        self.dir.join("ca/next.pem")
    }
    /// Its key.
    pub fn next_ca_key(&self) -> PathBuf {
        self.dir.join("ca/next.key.pem")
    }
    /// The key for acknowledgements that comes.
    pub fn next_ack_key(&self) -> PathBuf {
        self.dir.join("keys/ack.next.pk8")
    }
    /// A finished swap that is being put in its places.
    pub fn finished(&self) -> PathBuf {
        self.dir.join("ca/finished")
    }
    /// The CA for people's certificates, if there is one: it has nothing to do with the agents'.
    pub fn people_ca(&self) -> PathBuf {
        self.dir.join("ca/people.pem")
    }
    /// Its key.
    pub fn people_ca_key(&self) -> PathBuf {
        self.dir.join("ca/people.key.pem")
    }
    /// Held by whoever reads or changes more than one of these files.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("ca/lock")
    }
}

/// What `init` writes: file name parts and their bytes, secrets among them.
#[derive(Debug)]
pub struct NewAuthority {
    /// Path and content of every file.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// SHA-256 of the CA certificate's DER.
    pub ca_sha256: Digest,
}

/// Makes a CA, a server certificate for `hosts` (and the local host), and a key for acknowledgements.
///
/// # Errors
/// If a host is neither a name nor an address, or the system has no random source.
pub fn make(paths: &Paths, hosts: &[String], now: Timestamp) -> Result<NewAuthority, AuthorityError> {
    let (ca, ca_key_pem) = make_ca(now)?;
    let (server_pem, server_key_pem) = make_server(&ca, &ca.pem(), hosts, now)?;
    let (_key, ack_key) = SigningKey::generate().map_err(|cause| AuthorityError::Ack { cause })?;
    Ok(NewAuthority {
        ca_sha256: Digest::of(ca.der()),
        files: vec![
            (paths.ca(), ca.pem().into_bytes()),
            (paths.ca_key(), ca_key_pem.into_bytes()),
            (paths.server(), server_pem.into_bytes()),
            (paths.server_key(), server_key_pem.into_bytes()),
            (paths.ack_key(), ack_key),
        ],
    })
}

/// A CA with a name of its own (two of them are trusted during a swap), and its key.
///
/// # Errors
/// If the system has no random source.
pub fn make_ca(now: Timestamp) -> Result<(CertifiedIssuer<'static, KeyPair>, String), AuthorityError> {
    make_ca_named(&format!("Sekimori collector CA {}", now.secs()), now)
}

/// As [`make_ca`], of this name.
///
/// # Errors
/// If the system has no random source.
pub fn make_ca_named(
    name: &str,
    now: Timestamp,
) -> Result<(CertifiedIssuer<'static, KeyPair>, String), AuthorityError> {
    let ca_key = key_pair()?;
    let mut params = lifetime(now, CA_LIFE);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key_pem = ca_key.serialize_pem();
    let ca = CertifiedIssuer::self_signed(params, ca_key).map_err(|cause| AuthorityError::Issue { cause })?;
    Ok((ca, ca_key_pem))
}

/// A server certificate for `hosts` (and the local host) with the CA's behind it, and its key.
///
/// # Errors
/// As [`make`].
pub fn make_server(
    ca: &Issuer<'_, KeyPair>,
    ca_pem: &str,
    hosts: &[String],
    now: Timestamp,
) -> Result<(String, String), AuthorityError> {
    let mut params = lifetime(now, SERVER_LIFE);
    params.distinguished_name.push(DnType::CommonName, "Sekimori collector");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for host in hosts.iter().map(String::as_str).chain(["localhost", "127.0.0.1", "::1"]) {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                host.try_into().map_err(|cause| AuthorityError::Host { host: host.to_owned(), cause })?,
            ),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    let server_key = key_pair()?;
    let server = params.signed_by(&server_key, ca).map_err(|cause| AuthorityError::Issue { cause })?;
    Ok((format!("{}{ca_pem}", server.pem()), server_key.serialize_pem()))
}

/// The CA with its key: it issues certificates to agents.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate for an agent.
#[derive(Debug)]
pub struct Issued {
    /// PEM.
    pub certificate_pem: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Reads the CA and its key.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(paths: &Paths) -> Result<Self, AuthorityError> {
        Self::load_from(&paths.ca(), &paths.ca_key())
    }

    /// As [`Authority::load`], of the CA that a swap brings.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load_next(paths: &Paths) -> Result<Self, AuthorityError> {
        Self::load_from(&paths.next_ca(), &paths.next_ca_key())
    }

    /// As [`Authority::load`], from these files.
    pub(crate) fn load_from(ca: &Path, key: &Path) -> Result<Self, AuthorityError> {
        let ca_pem = read(ca)?;
        let bad = |path: &Path| {
            let path = path.to_owned();
            move |cause| AuthorityError::Content { path, cause }
        };
        let key_pair = KeyPair::from_pem(&read(key)?).map_err(bad(key))?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key_pair).map_err(bad(ca))?;
        Ok(Self { issuer, ca_pem })
    }

    /// Signs certificates.
    pub const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The CA's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Certifies the public key of a request for `agent`, for so long from now. Of the request, only the key counts: names, usages and life
    /// are ours.
    ///
    /// # Errors
    /// If the request is not one, or not signed by its own key.
    pub fn certify(
        &self,
        csr_pem: &str,
        agent: AgentId,
        (now, life): (Timestamp, Duration),
    ) -> Result<Issued, AuthorityError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(|cause| AuthorityError::Request { cause })?;
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_cause| AuthorityError::Random)?;
        serial[0] &= 0x7f; // RFC 5280, 4.1.2.2: positive.
        let mut params = lifetime(now, life);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name.push(DnType::CommonName, agent.to_string());
        let urn = format!("{AGENT_URN}{agent}");
        let uri = urn.as_str().try_into().map_err(|cause| AuthorityError::Issue { cause })?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.params = params;
        let certificate = request.signed_by(&self.issuer).map_err(|cause| AuthorityError::Issue { cause })?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            expires_at: now.plus(life),
        })
    }
}

/// Reads the key that signs acknowledgements.
///
/// # Errors
/// If there is none.
pub fn load_ack_key(path: PathBuf) -> Result<SigningKey, AuthorityError> {
    let bytes = std::fs::read(&path).map_err(|cause| AuthorityError::Read { path, cause })?;
    SigningKey::from_pkcs8(&bytes).map_err(|cause| AuthorityError::Ack { cause })
}

/// SHA-256 of the CA certificate's DER, for tokens.
///
/// # Errors
/// If there is no certificate.
pub fn ca_sha256(paths: &Paths) -> Result<Digest, AuthorityError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let path = paths.ca();
    let der = CertificateDer::from_pem_slice(read(&path)?.as_bytes())
        .map_err(|cause| AuthorityError::Pem { path, cause })?;
    Ok(Digest::of(&der))
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|cause| AuthorityError::Read { path: path.to_owned(), cause })
}

pub(crate) fn key_pair() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|cause| AuthorityError::Issue { cause })
}

/// Valid from a day ago, because clocks differ.
pub(crate) fn lifetime(now: Timestamp, life: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = epoch + Duration::from_secs(now.minus(DAY).secs());
    params.not_after = epoch + Duration::from_secs(now.plus(life).secs());
    params.use_authority_key_identifier_extension = true;
    params
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Its content.
    #[error("{path} does not hold what it should")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// Its form.
    #[error("{path} is not PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::pki_types::pem::Error,
    },
    /// A host name.
    #[error("`{host}` is neither a host name nor an address")]
    Host {
        /// As given.
        host: String,
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// A request that is none, or is not signed by its own key.
    #[error("the certificate request is not valid")]
    Request {
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// Signing a certificate.
    #[error("cannot issue a certificate")]
    Issue {
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// The key for acknowledgements.
    #[error("the key for acknowledgements cannot be used")]
    Ack {
        /// Why.
        #[source]
        cause: sekimori_wire::envelope::KeyError,
    },
    /// No randomness.
    #[error("the system's random source failed")]
    Random,
}
