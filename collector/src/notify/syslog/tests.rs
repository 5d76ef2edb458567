//! Messages against the standards' text, and both ways over real sockets.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::notify::template::Message;

fn letter(subject: &str) -> Letter {
    Letter {
        key: "INC-1/ack".to_owned(),
        kind: NoticeKind::Timer,
        incident: Some("INC-422011-20261122-1".to_owned()),
        level: 4,
        at: Timestamp::from_secs(1_764_000_000),
        message: Message { subject: subject.to_owned(), body: "一行目\n二行目 a=b".to_owned() },
    }
}

#[test]
fn messages_have_the_form_of_the_standard() {
    assert_eq!(
        message(Format::Rfc5424, &letter("件名")),
        "<106>1 2025-11-24T16:00:00.000000Z - sekimori-collector - timer [sekimori@32473 delivery=\"INC-1/ack\" level=\"4\" incident=\"INC-422011-20261122-1\"] \u{feff}件名"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        message(Format::Cef, &letter("【訓練】a|b\\c")),
        format!(
            "<106>1 2025-11-24T16:00:00.000000Z - sekimori-collector - timer - CEF:0|Sekimori|collector|{version}|timer|【訓練】a\\|b\\\\c|10|rt=1764000000000 externalId=INC-422011-20261122-1 cs1Label=delivery cs1=INC-1/ack cn1Label=drill cn1=1 msg=一行目 二行目 a\\=b"
        )
    );
}

#[test]
fn strangers_cannot_break_out() {
    let mut hostile = letter("x\n<0>1 forged");
    hostile.key = "a\"] [evil x=\"1\\".to_owned();
    for format in [Format::Rfc5424, Format::Cef] {
        let text = message(format, &hostile);
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let text = message(Format::Rfc5424, &hostile);
    assert!(text.contains(r#"delivery="a\"\] [evil x=\"1\\""#), "{text}");
}

#[tokio::test]
async fn both_ways_arrive() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = |address: std::net::SocketAddr, transport| Target {
        name: "s".to_owned(),
        address: address.to_string(),
        transport,
        format: Format::Rfc5424,
    };
    let expected = message(Format::Rfc5424, &letter("件名"));
    send(&target(udp.local_addr().unwrap(), Transport::Udp), &letter("件名")).await.unwrap();
    let mut buffer = [0; 4096];
    let n = tokio::time::timeout(Duration::from_secs(10), udp.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(core::str::from_utf8(&buffer[..n]).unwrap(), expected);
    let (target, letter) = (target(tcp.local_addr().unwrap(), Transport::Tcp), letter("件名"));
    let receiving = async {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let (sent, got) = tokio::join!(send(&target, &letter), receiving);
    sent.unwrap();
    assert_eq!(got, format!("{} {expected}", expected.len()));
}

#[tokio::test]
async fn a_long_message_is_cut_for_udp_between_characters() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap().to_string();
    let target = Target { name: "s".to_owned(), address, transport: Transport::Udp, format: Format::Rfc5424 };
    send(&target, &letter(&"長".repeat(3000))).await.unwrap();
    let mut buffer = [0; 9000];
    let n = tokio::time::timeout(Duration::from_secs(10), udp.recv(&mut buffer)).await.unwrap().unwrap();
    assert!(n <= UDP_BYTES_MAX && core::str::from_utf8(&buffer[..n]).is_ok());
}
