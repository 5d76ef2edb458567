//! SSH in hand-checked and hostile bytes.

use super::*;
use crate::event::{SshAgreement, Transaction};
use crate::proto::bench::{Bench, C, S, play};

fn connection(played: &Bench) -> Option<&SshConnection> {
    let all = played.all(|one| if let Transaction::Ssh(one) = one { Some(&**one) } else { None });
    assert!(all.len() <= 1, "one a connection");
    all.first().copied()
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = [0_u8; 4];
    let length = u32::try_from(1 + payload.len() + padding.len()).unwrap();
    [&length.to_be_bytes()[..], &[4], payload, &padding].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Key exchange, host key, cipher there and back, MAC there and back, compression there and back.
fn offer(lists: [&str; 8]) -> Vec<u8> {
    let lists = lists.iter().chain(&["", ""]).flat_map(|list| string(list.as_bytes()));
    packet(&[&[KEXINIT][..], &[7; 16], &lists.collect::<Vec<_>>(), &[0; 5]].concat())
}

const CLIENT_BANNER: (Side, &[u8]) = (C, b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
const SERVER_BANNER: (Side, &[u8]) = (S, b"SSH-2.0-OpenSSH_8.9\r\n");

fn client_offer() -> Vec<u8> {
    offer([
        "curve25519-sha256,ext-info-c",
        "ssh-ed25519,rsa-sha2-256",
        "aes128-ctr",
        "aes256-ctr,aes128-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none,zlib",
    ])
}

fn server_offer() -> Vec<u8> {
    offer([
        "diffie-hellman-group14-sha1,curve25519-sha256",
        "rsa-sha2-256",
        "aes128-ctr",
        "aes256-gcm@openssh.com,aes128-ctr",
        "hmac-sha2-256",
        "hmac-sha1,hmac-sha2-256",
        "none",
        "zlib,none",
    ])
}

fn key_reply() -> Vec<u8> {
    packet(&[&[KEXDH_REPLY][..], &string(b"host key blob"), &string(&[1; 32]), &string(&[2; 64])].concat())
}

/// Banner, offers, keys; then the server's encrypted messages of these sizes.
fn with_sizes(sizes: &[usize], piece: usize) -> Bench {
    let (client, server, key, new_keys) = (client_offer(), server_offer(), key_reply(), packet(&[NEWKEYS]));
    let encrypted: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0xa5; *size]).collect();
    let mut turns: Vec<(Side, &[u8])> = vec![
        CLIENT_BANNER,
        SERVER_BANNER,
        (C, &client),
        (S, &server),
        (S, &key),
        (S, &new_keys),
        (C, &new_keys),
    ];
    for bytes in &encrypted {
        turns.push((C, &[0x5a; 52]));
        turns.push((S, bytes));
    }
    play(22, &turns, piece)
}

#[test]
fn reads_offers_and_what_they_come_down_to() {
    for piece in [1, 5, 1460] {
        let played = with_sizes(&[], piece);
        let one = connection(&played).unwrap();
        assert_eq!(one.client.banner.as_deref(), Some("SSH-2.0-OpenSSH_9.2p1 Debian"));
        assert_eq!(one.server.banner.as_deref(), Some("SSH-2.0-OpenSSH_8.9"));
        let hassh = one.client.hassh.as_ref().unwrap();
        assert_eq!(&*hassh.text, "curve25519-sha256,ext-info-c;aes128-ctr;hmac-sha2-256;none");
        assert_eq!(&*hassh.hash, "cafb69eb1dbb2a4a505b5b25342a4940", "as md5sum says");
        let hassh = one.server.hassh.as_ref().unwrap();
        assert_eq!(
            &*hassh.hash, "54e6e4495205ee338a730ed4cfe7cfc4",
            "of what the server sends, as md5sum says"
        );
        let expected = SshAgreement {
            key_exchange: Some("curve25519-sha256".into()),
            host_key: Some("rsa-sha2-256".into()),
            cipher: [Some("aes128-ctr".into()), Some("aes128-ctr".into())],
            mac: [Some("hmac-sha2-256".into()), Some("hmac-sha2-256".into())],
            compression: [Some("none".into()), Some("none".into())],
        };
        assert_eq!(one.agreed.as_ref(), Some(&expected), "the client's first that the server has");
        let digest: String = one.host_key_sha256.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest, "0398a1fc5f77517a66417b1c6fedf2cc54e1457f9e42c48bd3b1ffb922013d4c",
            "as sha256sum says"
        );
        assert_eq!(played.applications(), [Application::Ssh]);
    }
}

#[test]
fn agrees_on_nothing_where_nothing_is_common() {
    let client = offer(["a", "b", "c", "c", "d", "d", "none", "none"]);
    let server = offer(["x", "b", "c", "y", "d", "d", "none", "none"]);
    let played = play(22, &[CLIENT_BANNER, SERVER_BANNER, (C, &client), (S, &server)], 1460);
    let agreed = connection(&played).unwrap().agreed.clone().unwrap();
    assert_eq!((agreed.key_exchange, agreed.cipher), (None, [Some("c".into()), None]));
}

#[test]
fn tells_the_login_by_the_sizes() {
    for (sizes, login, attempts) in [
        (&[][..], None, 0),
        (&[44], None, 0),
        // No method needed.
        (&[44, 28], Some(true), 1),
        // The first failure only says which methods there are.
        (&[44, 60, 28], Some(true), 1),
        (&[44, 60, 60, 60], Some(false), 2),
        (&[44, 60, 60, 28], Some(true), 2),
        // What is of another size tells nothing.
        (&[44, 60, 500, 76], None, 0),
        // After the success nothing counts.
        (&[44, 60, 28, 60, 60], Some(true), 1),
    ] {
        let played = with_sizes(sizes, 1460);
        let one = connection(&played).unwrap();
        assert_eq!((one.login, one.login_attempts), (login, attempts), "{sizes:?}");
    }
}

#[test]
fn the_list_of_extensions_is_no_answer() {
    let (client, server, key, new_keys) = (client_offer(), server_offer(), key_reply(), packet(&[NEWKEYS]));
    // OpenSSH sends it together with NEWKEYS, to every client that says it knows what it is.
    let with_extensions = [&new_keys[..], &[0xa5; 340]].concat();
    let (request, service, failure) = ([0x5a; 44], [0xa5; 44], [0xa5; 76]);
    let (key_is_fine, success) = ([0xa5; 100], [0xa5; 28]);
    let turns: [(Side, &[u8]); 15] = [
        CLIENT_BANNER,
        SERVER_BANNER,
        (C, &client),
        (S, &server),
        (S, &key),
        (S, &with_extensions),
        (C, &new_keys),
        (C, &request),
        (S, &service),
        (C, &request),
        (S, &failure),
        (C, &request),
        (S, &key_is_fine),
        (C, &request),
        (S, &success),
    ];
    let played = play(22, &turns, 1460);
    let one = connection(&played).unwrap();
    assert_eq!((one.login, one.login_attempts), (Some(true), 1));
}

#[test]
fn compression_hides_the_login() {
    let zlib = offer(["a", "b", "c", "c", "d", "d", "zlib@openssh.com", "zlib@openssh.com"]);
    let new_keys = packet(&[NEWKEYS]);
    let turns =
        [CLIENT_BANNER, SERVER_BANNER, (C, &zlib), (S, &zlib), (S, &new_keys), (S, &[1; 44]), (S, &[1; 28])];
    let played = play(22, &turns, 1460);
    assert_eq!(connection(&played).unwrap().login, None);
}

#[test]
fn a_group_is_not_a_host_key() {
    let group = offer(["diffie-hellman-group-exchange-sha256", "b", "c", "c", "d", "d", "none", "none"]);
    let kex_group = packet(&[&[KEXDH_REPLY][..], &string(b"a prime"), &string(&[2])].concat());
    let reply = packet(&[&[KEX_GEX_REPLY][..], &string(b"host key blob"), &string(&[2])].concat());
    let before = play(22, &[CLIENT_BANNER, SERVER_BANNER, (C, &group), (S, &group), (S, &kex_group)], 1460);
    assert_eq!(connection(&before).unwrap().host_key_sha256, None);
    let after = play(
        22,
        &[CLIENT_BANNER, SERVER_BANNER, (C, &group), (S, &group), (S, &kex_group), (S, &reply)],
        1460,
    );
    assert!(connection(&after).unwrap().host_key_sha256.is_some());
}

#[test]
fn lines_may_stand_before_the_servers_banner() {
    let played = play(22, &[CLIENT_BANNER, (S, b"Welcome\r\nAll is recorded\r\n"), SERVER_BANNER], 3);
    assert_eq!(connection(&played).unwrap().server.banner.as_deref(), Some("SSH-2.0-OpenSSH_8.9"));
}

#[test]
fn an_old_version_has_no_offers() {
    let played = play(
        22,
        &[(S, b"SSH-1.5-1.2.27\n"), (C, b"SSH-1.5-client\n"), (S, b"\0\0\x01\x0b\0\0\0\0\0\x02")],
        1460,
    );
    let one = connection(&played).unwrap();
    assert_eq!(one.server.banner.as_deref(), Some("SSH-1.5-1.2.27"));
    assert_eq!((&one.agreed, played.anomalies().len()), (&None, 0));
}

#[test]
fn only_a_banner_is_told_as_well() {
    assert!(connection(&play(22, &[CLIENT_BANNER], 1)).is_some());
    assert!(connection(&play(2222, &[SERVER_BANNER], 1)).is_some(), "by content, not by port");
    assert!(connection(&play(22, &[(C, b"SSL")], 1)).is_none());
}

#[test]
fn what_breaks_the_rules_is_named() {
    let long = [b"SSH-2.0-".as_slice(), &[b'x'; 2000], b"\r\n"].concat();
    assert_eq!(play(22, &[(C, &long)], 1460).anomalies(), ["LONG_BANNER"]);
    let cases: [(&[u8], &[&str]); 4] = [
        (&[0, 0, 0, 0, 1, 2], &["INVALID_RECORD"]),
        (&[0xff, 0, 0, 0, 1, 2], &["INVALID_RECORD"]),
        // More padding than packet.
        (&[0, 0, 0, 2, 9, 20], &["INVALID_RECORD"]),
        // Passed over, unread.
        (&[0, 0, 0x40, 0, 4, 20], &["LONG_KEX_RECORD"]),
    ];
    for (bytes, expected) in cases {
        let played = play(22, &[CLIENT_BANNER, SERVER_BANNER, (C, bytes)], 1460);
        assert_eq!(played.anomalies(), expected, "{bytes:?}");
        assert!(connection(&played).is_some());
    }
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let names = "a,".repeat(1400);
    let huge = offer([&names, &names, &names, &names, "", "", "", ""]);
    let empty = packet(&[2]).repeat(20_000);
    let endless = vec![b'x'; 300_000];
    let noise = vec![0xa5; 300_000];
    for hostile in [&huge, &empty, &noise] {
        for piece in [1, 1460] {
            let played = play(22, &[CLIENT_BANNER, SERVER_BANNER, (C, hostile), (S, hostile)], piece);
            assert!(connection(&played).is_some());
        }
    }
    let played = play(22, &[CLIENT_BANNER, (S, &endless)], 1);
    assert!(connection(&played).unwrap().server.banner.is_none());
}
