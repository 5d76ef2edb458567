//! The way out through an HTTP proxy: `CONNECT`, then TLS end to end with the collector. The proxy sees the collector's address
//! and how much is sent, nothing else.

use core::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use sekimori_wire::text::BoundedText;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest answer to `CONNECT` that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// The longest line of user and password.
const CREDENTIALS_BYTES_MAX: u64 = 1024;

/// `http://host:port`, and where user and password are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    /// One line `user:password`, read at each connection: it may change while the agent runs.
    credentials: Option<PathBuf>,
}

impl Proxy {
    /// The file with user and password.
    pub(crate) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref()
    }

    /// With user and password from this file.
    pub(crate) fn with_credentials(self, file: Option<PathBuf>) -> Self {
        Self { credentials: file, ..self }
    }

    /// From its address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("`{url}` is not of the form http://HOST:PORT");
        let uri: Uri = url.parse().map_err(|_cause| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err("user and password go into the file that proxy_credentials names".to_owned());
        }
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let (Some("http"), true, Some(port)) = (uri.scheme_str(), is_bare, uri.port_u16()) else {
            return Err(wrong());
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host, port, credentials: None })
    }

    /// Asks for a connection to `target` (`host:port`); what comes back is as good as a direct one.
    ///
    /// # Errors
    /// By the step that failed.
    pub(crate) async fn connect(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let credentials = self.credentials.as_deref().map(credentials).transpose()?;
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|cause| ProxyError::Unreachable { cause })?;
        let broken = |cause| ProxyError::Broken { cause };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        loop {
            let mut byte = [0];
            if tcp.read(&mut byte).await.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            answer.extend(byte);
            if answer.ends_with(b"\r\n\r\n") {
                break;
            }
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(ProxyError::Answer);
            }
        }
        accepted(&answer, self.credentials.is_some())?;
        Ok(tcp)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

/// Whether the proxy lets us through.
fn accepted(answer: &[u8], with_credentials: bool) -> Result<(), ProxyError> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = str::from_utf8(line).map_err(|_cause| ProxyError::Answer)?;
    let mut words = line.splitn(3, ' ');
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_http = matches!(version, "HTTP/1.0" | "HTTP/1.1") && status.len() == 3;
    let status = status.parse::<u16>().ok().filter(|_| is_http).ok_or(ProxyError::Answer)?;
    match status {
        200..=299 => Ok(()),
        // 401 is not for proxies; tinyproxy says it to whoever gives a wrong password.
        401 | 407 if with_credentials => Err(ProxyError::Credentials { status }),
        407 => Err(ProxyError::NoCredentials),
        _ => Err(ProxyError::Refused { status, reason: BoundedText::new(words.next().unwrap_or_default()) }),
    }
}

/// User and password as the header wants them. Whoever may read the file can use the proxy: not everybody may.
fn credentials(path: &Path) -> Result<String, ProxyError> {
    let unread = |cause| ProxyError::CredentialsFile { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(unread)?;
    let mode = file.metadata().map_err(unread)?.permissions().mode();
    let wrong = |rule| ProxyError::CredentialsForm { path: path.to_owned(), rule };
    if mode & 0o007 != 0 {
        return Err(wrong("may be read by everybody on this machine: chmod o= FILE"));
    }
    let mut text = String::new();
    file.take(CREDENTIALS_BYTES_MAX + 1).read_to_string(&mut text).map_err(unread)?;
    let line = text.trim_end_matches(['\r', '\n']);
    let is_form = line.split_once(':').is_some_and(|(user, _)| !user.is_empty());
    let fits = u64::try_from(text.len()).is_ok_and(|len| len <= CREDENTIALS_BYTES_MAX);
    if !fits || !is_form || line.chars().any(char::is_control) {
        return Err(wrong("must hold one line `user:password`"));
    }
    Ok(STANDARD.encode(line))
}

/// Why the proxy does not let us through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("nobody answers there")]
    Unreachable {
        #[source]
        cause: io::Error,
    },
    #[error("it broke the connection")]
    Broken {
        #[source]
        cause: io::Error,
    },
    #[error("it does not answer as an HTTP proxy does")]
    Answer,
    #[error("it wants user and password (407): name the file that holds them in collector.proxy_credentials")]
    NoCredentials,
    #[error("it does not accept user and password of collector.proxy_credentials ({status})")]
    Credentials { status: u16 },
    #[error("it refuses the way to the collector ({status} {reason})")]
    Refused { status: u16, reason: BoundedText<64> },
    #[error("cannot read collector.proxy_credentials {}", path.display())]
    CredentialsFile {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("collector.proxy_credentials {} {rule}", path.display())]
    CredentialsForm { path: PathBuf, rule: &'static str },
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (url, shown) in [
            ("http://proxy.example:8080", "http://proxy.example:8080"),
            ("http://192.0.2.1:3128/", "http://192.0.2.1:3128"),
            ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ] {
            assert_eq!(Proxy::parse(url).map(|proxy| proxy.to_string()), Ok(shown.to_owned()));
        }
        for url in
            ["", "https://p:1", "http://p", "http://p:1/x", "http://p:1?x", "p:1", "http://:1", "http://p:0"]
        {
            assert!(Proxy::parse(url).unwrap_err().contains("http://HOST:PORT"), "{url}");
        }
        assert!(Proxy::parse("http://user:secret@p:1").unwrap_err().contains("proxy_credentials"));
    }

    /// What a proxy that answers so makes of it, and what it was asked.
    async fn answered(
        answer: &[u8],
        credentials: Option<PathBuf>,
    ) -> (Result<TcpStream, ProxyError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = Proxy::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        proxy.credentials = credentials;
        let answer = answer.to_vec();
        let serving = tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = tcp.read(&mut request).await.unwrap();
            // A client that has read enough hangs up.
            drop(tcp.write_all(&answer).await);
            String::from_utf8(request[..read].to_vec()).unwrap()
        });
        let connected = proxy.connect("collector.example:8440").await;
        (connected, serving.await.unwrap())
    }

    #[tokio::test]
    async fn answers_are_bounded_and_refusals_are_named() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(ANSWER_BYTES_MAX));
        for (answer, expected) in [
            ("HTTP/1.1 403 Forbidden\r\nx: y\r\n\r\n", "refuses the way to the collector (403 Forbidden)"),
            ("HTTP/1.0 407 Authenticate\r\n\r\n", "wants user and password (407)"),
            ("HTTP/1.1 200 OK\r\n", "broke the connection"),
            ("HTTP/2 200\r\n\r\n", "does not answer as an HTTP proxy"),
            ("HTTP/1.1 20 OK\r\n\r\n", "does not answer as an HTTP proxy"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "does not answer as an HTTP proxy"),
            ("\u{1}\r\n\r\n", "does not answer as an HTTP proxy"),
            (long.as_str(), "does not answer as an HTTP proxy"),
        ] {
            let (refused, asked) = answered(answer.as_bytes(), None).await;
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
            assert_eq!(
                asked,
                "CONNECT collector.example:8440 HTTP/1.1\r\nHost: collector.example:8440\r\n\r\n"
            );
        }
    }

    #[tokio::test]
    async fn what_follows_the_answer_is_the_collectors() {
        let (connected, _) =
            answered(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x16\x03", None).await;
        let mut rest = Vec::new();
        connected.unwrap().read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"\x16\x03");
    }

    #[tokio::test]
    async fn user_and_password_come_from_a_file_that_not_everybody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, "sekimori:ひみつ\n").unwrap();
        mode(0o640);
        let (good, asked) = answered(b"HTTP/1.1 200 OK\r\n\r\n", Some(path.clone())).await;
        good.unwrap();
        let expected = format!("\r\nProxy-Authorization: Basic {}\r\n", STANDARD.encode("sekimori:ひみつ"));
        assert!(asked.contains(&expected), "{asked}");
        let (refused, _) = answered(b"HTTP/1.1 407 No\r\n\r\n", Some(path.clone())).await;
        assert!(matches!(refused, Err(ProxyError::Credentials { status: 407 })), "{refused:?}");
        mode(0o644);
        assert!(credentials(&path).unwrap_err().to_string().ends_with("chmod o= FILE"));
        mode(0o600);
        for text in ["", "user\n", ":x\n", "a:b\nc:d\n", &format!("a:{}", "b".repeat(2000))] {
            std::fs::write(&path, text).unwrap();
            let said = credentials(&path).unwrap_err().to_string();
            assert!(said.ends_with("must hold one line `user:password`"), "{text:?}: {said}");
        }
        let missing = credentials(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, ProxyError::CredentialsFile { .. }));
    }
}
