//! What is said inside the conversations: DNS, TLS, HTTP, SSH, FTP and syslog messages as real programs write them.

use super::capture::Rng;

/// Address record.
pub(crate) const A: u16 = 1;
/// Anything at all.
pub(crate) const NULL: u16 = 10;
/// Reverse name.
pub(crate) const PTR: u16 = 12;
/// Text.
pub(crate) const TXT: u16 = 16;
/// IPv6 address record.
pub(crate) const AAAA: u16 = 28;

/// A DNS question.
pub(crate) fn dns_query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    dns(id, 0x0100, (name, kind), &[])
}

/// A DNS answer with these records' data; without any it is `NXDOMAIN`.
pub(crate) fn dns_answer(id: u16, name: &str, kind: u16, data: &[Vec<u8>]) -> Vec<u8> {
    dns(id, if data.is_empty() { 0x8183 } else { 0x8180 }, (name, kind), data)
}

fn dns(id: u16, flags: u16, question: (&str, u16), data: &[Vec<u8>]) -> Vec<u8> {
    let (name, kind) = question;
    let mut out = Vec::new();
    for word in [id, flags, 1, u16::try_from(data.len()).unwrap_or_default(), 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap_or_default());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&1_u16.to_be_bytes());
    for rdata in data {
        out.extend_from_slice(&[0xc0, 0x0c]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(rdata.len()).unwrap_or_default().to_be_bytes());
        out.extend_from_slice(rdata);
    }
    out
}

/// The data of a TXT record.
pub(crate) fn txt(text: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.len()).unwrap_or(255)];
    out.extend(text.bytes().take(255));
    out
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(data);
    out
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let mut message = vec![kind, length[1], length[2], length[3]];
    message.extend_from_slice(body);
    tls_record(22, &message)
}

fn tls_record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 3, if kind == 22 { 1 } else { 3 }];
    out.extend_from_slice(&u16::try_from(body.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A browser's `ClientHello` for `server_name`.
pub(crate) fn client_hello(rng: &mut Rng, server_name: &str) -> Vec<u8> {
    let name = server_name.as_bytes();
    let length = |extra: usize| u16::try_from(name.len() + extra).unwrap_or_default().to_be_bytes();
    let sni = [&length(3)[..], &[0], &length(0)[..], name].concat();
    let share = [&[0, 0x24, 0, 0x1d, 0, 0x20][..], &rng.bytes(32)].concat();
    let extensions = [
        extension(0x0000, &sni),
        extension(0x0017, &[]),
        extension(0xff01, &[0]),
        extension(0x000a, &[0, 8, 0, 0x1d, 0, 0x17, 0, 0x18, 0, 0x19]),
        extension(0x000b, &[1, 0]),
        extension(0x0010, b"\x00\x0c\x02h2\x08http/1.1"),
        extension(0x000d, &[0, 8, 4, 3, 8, 4, 4, 1, 5, 3]),
        extension(0x002b, &[4, 3, 4, 3, 3]),
        extension(0x002d, &[1, 1]),
        extension(0x0033, &share),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend(rng.bytes(32));
    body.push(32);
    body.extend(rng.bytes(32));
    body.extend_from_slice(&[0, 10, 0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap_or_default().to_be_bytes());
    body.extend(extensions);
    handshake(1, &body)
}

/// A server's first flight: `ServerHello`, then what is already encrypted.
pub(crate) fn server_hello(rng: &mut Rng) -> Vec<u8> {
    let share = [&[0, 0x1d, 0, 0x20][..], &rng.bytes(32)].concat();
    let extensions = [extension(0x002b, &[3, 4]), extension(0x0033, &share)].concat();
    let mut body = vec![3, 3];
    body.extend(rng.bytes(32));
    body.push(32);
    body.extend(rng.bytes(32));
    body.extend_from_slice(&[0x13, 1, 0]);
    body.extend_from_slice(&u16::try_from(extensions.len()).unwrap_or_default().to_be_bytes());
    body.extend(extensions);
    [handshake(2, &body), vec![20, 3, 3, 0, 1, 1], tls_data(rng, 900)].concat()
}

/// Encrypted application data.
pub(crate) fn tls_data(rng: &mut Rng, length: usize) -> Vec<u8> {
    tls_record(23, &rng.bytes(length))
}

/// An HTTP/1.1 request head.
pub(crate) fn http_get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// An HTTP/1.1 response with a body.
pub(crate) fn http_ok(rng: &mut Rng, length: usize) -> Vec<u8> {
    let body = rng.text(length, "abcdefghij klmno pqrst uvwxyz");
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// An SSH binary packet (RFC 4253, 6) before encryption.
fn ssh_packet(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
    let mut out = u32::try_from(1 + payload.len() + padding).unwrap_or_default().to_be_bytes().to_vec();
    out.push(u8::try_from(padding).unwrap_or_default());
    out.extend_from_slice(payload);
    out.extend(rng.bytes(padding));
    out
}

/// `SSH_MSG_KEXINIT` with the names that OpenSSH offers.
pub(crate) fn ssh_kexinit(rng: &mut Rng) -> Vec<u8> {
    const LISTS: [&str; 10] = [
        "sntrup761x25519-sha512@openssh.com,curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256",
        "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes256-gcm@openssh.com",
        "umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
        "umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
        "none,zlib@openssh.com",
        "none,zlib@openssh.com",
        "",
        "",
    ];
    let mut payload = vec![20];
    payload.extend(rng.bytes(16));
    for list in LISTS {
        payload.extend_from_slice(&u32::try_from(list.len()).unwrap_or_default().to_be_bytes());
        payload.extend_from_slice(list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    ssh_packet(rng, &payload)
}

/// The client's half of the key exchange.
pub(crate) fn ssh_ecdh_init(rng: &mut Rng) -> Vec<u8> {
    let payload = [&[30, 0, 0, 0, 32][..], &rng.bytes(32)].concat();
    ssh_packet(rng, &payload)
}

/// The server's half, and `SSH_MSG_NEWKEYS`.
pub(crate) fn ssh_ecdh_reply(rng: &mut Rng) -> Vec<u8> {
    let payload = [&[31][..], &rng.bytes(187)].concat();
    [ssh_packet(rng, &payload), ssh_packet(rng, &[21])].concat()
}

/// Now, in RFC 5424's form, `seconds` after the captures' start.
pub(crate) fn syslog_time(seconds: u64) -> String {
    format!("2026-11-02T{:02}:{:02}:{:02}.250Z", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// An RFC 5424 syslog line.
pub(crate) fn syslog(priority: u8, seconds: u64, host: &str, app: &str, message: &str) -> Vec<u8> {
    format!("<{priority}>1 {} {host} {app} 812 - - {message}", syslog_time(seconds)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_is_written_in_labels() {
        let query = dns_query(7, "www.city.example", A);
        assert_eq!(&query[12..], b"\x03www\x04city\x07example\x00\x00\x01\x00\x01");
        assert_eq!(dns_answer(7, "x.example", A, &[])[3] & 0x0f, 3, "no record: NXDOMAIN");
    }

    #[test]
    fn lengths_inside_a_client_hello_agree() {
        let hello = client_hello(&mut Rng::named("hello"), "www.city.example");
        let record = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        let message = usize::from(u16::from_be_bytes([hello[7], hello[8]]));
        assert_eq!((record, message), (hello.len() - 5, hello.len() - 9));
    }

    #[test]
    fn ssh_packets_are_multiples_of_eight() {
        let mut rng = Rng::named("ssh");
        for packet in [ssh_kexinit(&mut rng), ssh_ecdh_init(&mut rng)] {
            assert_eq!(packet.len() % 8, 0);
        }
    }
}
