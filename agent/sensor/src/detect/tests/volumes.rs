//! Floods by volume, reflection, slow requests and uploads, and the bulk traffic that looks like them.

use sekimori_wire::finding::{Category, Finding};

use super::build::*;
use crate::event::*;

const OUT: &str = "203.0.113.7";
const IN: &str = "192.168.1.5";
const SERVER: &str = "192.168.1.80";

fn traffic(sent: (u32, u32), received: (u32, u32)) -> FlowEvent {
    let amount = |(packets, bytes)| Amount { packets, bytes };
    FlowEvent::Traffic(Traffic { sent: amount(sent), received: amount(received) })
}

/// So many one-packet datagram flows a second.
fn datagrams(
    script: &mut Script,
    rate: u64,
    seconds: u64,
    from: impl Fn(u64) -> (String, u16),
    to: &str,
    port: u16,
) {
    for n in 0..rate * seconds {
        let (source, source_port) = from(n);
        let flow = script.flow(UDP, (&source, source_port), (to, port));
        script.push(n * 1_000 / rate, flow, FlowEvent::Started(First::Datagram));
    }
}

/// A flow that goes on for so many seconds with the same reports each.
fn stream(
    protocol: u8,
    from: (&str, u16),
    to: (&str, u16),
    seconds: u64,
    reports: &(u64, FlowEvent),
) -> Script {
    let mut script = Script::default();
    let flow = script.flow(protocol, from, to);
    script.push(0, flow, FlowEvent::Started(if protocol == ICMP { First::Other } else { First::Datagram }));
    for n in 0..seconds * reports.0 {
        script.push(1 + n * 1_000 / reports.0, flow, reports.1.clone());
    }
    script
}

fn of(findings: Vec<Finding>, category: Category) -> Vec<Finding> {
    findings.into_iter().filter(|one| one.category == category).collect()
}

#[test]
fn one_flow_of_unreachables_is_a_flood_and_names_its_sender() {
    let script = stream(ICMP, (OUT, 3), (SERVER, 3), 1, &(50, traffic((64, 64 * 56), (0, 0))));
    let finding = script.only(Category::FloodVolume);
    assert_eq!((finding.originator, finding.responder), (host(OUT), host(SERVER)));
    assert_eq!((finding.severity.level(), finding.count), (3, 3_136));
}

#[test]
fn forged_datagrams_are_a_flood_that_names_the_victim() {
    let mut script = Script::default();
    let forged =
        |n: u64| (format!("198.18.{}.{}", n % 200, n % 250 + 1), 1_024 + u16::try_from(n % 50_000).unwrap());
    datagrams(&mut script, 3_000, 4, forged, SERVER, 9_999);
    let finding = script.only(Category::FloodVolume);
    assert_eq!((finding.originator, finding.responder), (None, host(SERVER)));
    assert_eq!(finding.ports.as_slice(), [9_999]);
}

#[test]
fn downloads_calls_and_streams_are_no_flood() {
    // QUIC: the server sends, the client acknowledges every second packet.
    stream(UDP, (IN, 50_000), (OUT, 443), 20, &(300, traffic((22, 22 * 60), (42, 42 * 1_280)))).quiet();
    // The same when it began before the capture.
    stream(UDP, (OUT, 443), (IN, 50_000), 20, &(300, traffic((42, 42 * 1_280), (22, 22 * 60)))).quiet();
    // A video call.
    stream(UDP, (IN, 50_000), (OUT, 3_480), 20, &(10, traffic((32, 32 * 900), (32, 32 * 900)))).quiet();
    // A camera with a control connection, far above the floor.
    let mut camera =
        stream(UDP, ("192.168.1.60", 6_970), (IN, 50_000), 20, &(50, traffic((64, 64 * 1_300), (0, 0))));
    camera.session(0, (IN, 40_000), ("192.168.1.60", 554), 19_000, (900, 900));
    camera.quiet();
    // Ping, from fifty hosts.
    let mut pings = Script::default();
    for n in 0..50_u8 {
        let flow = pings.flow(ICMP, (&format!("192.168.2.{n}"), 8), (SERVER, 0));
        pings.push(0, flow, FlowEvent::Started(First::EchoRequest));
        (1..60).for_each(|second| pings.push(second * 1_000, flow, traffic((1, 84), (1, 84))));
    }
    pings.quiet();
}

#[test]
fn stray_segments_are_a_flood_unless_they_are_connections_older_than_the_capture() {
    let midstream = |then: Option<FlowEvent>| {
        let mut script = Script::default();
        for n in 0..6_000_u64 {
            let source = format!("198.18.{}.{}", n % 200, n % 250 + 1);
            let flow = script.flow(TCP, (&source, 40_000), (SERVER, 443));
            script.push(n / 6, flow, FlowEvent::Started(First::Midstream));
            then.iter().for_each(|what| script.push(n / 6 + 1_100, flow, what.clone()));
        }
        of(script.run(), Category::FloodVolume)
    };
    assert_eq!(midstream(None).len(), 1);
    assert!(midstream(Some(traffic((3, 3 * 52), (5, 5 * 1_200)))).is_empty());
}

#[test]
fn requests_for_one_page_are_a_flood_and_pages_with_their_parts_are_not() {
    let requests = |paths: u64| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (OUT, 40_000), (SERVER, 80));
        for n in 0..3_000_u64 {
            let path = format!("/{}", n % paths).into();
            let request = HttpRequest { method: "GET".into(), path, ..HttpRequest::default() };
            script.push(n * 3, flow, FlowEvent::HttpRequest(Box::new(request)));
        }
        of(script.run(), Category::FloodVolume)
    };
    assert_eq!(requests(1).iter().map(|one| one.severity.level()).collect::<Vec<_>>(), [2]);
    assert!(requests(40).is_empty());
}

#[test]
fn seven_hundred_full_datagrams_at_once_are_a_flood() {
    let mut script = Script::default();
    for n in 0..700_u64 {
        let flow = script.flow(UDP, (OUT, 40_000 + u16::try_from(n).unwrap()), (SERVER, 80));
        script.push(n / 20, flow, FlowEvent::Started(First::Datagram));
        let opening = Opening { from_originator: true, bytes: 1_400, ..Opening::default() };
        script.push(n / 20, flow, FlowEvent::Opening(opening));
    }
    let found = of(script.run(), Category::FloodVolume);
    assert_eq!(found.iter().map(|one| (one.originator, one.count)).collect::<Vec<_>>(), [(host(OUT), 699)]);
}

#[test]
fn connections_in_masses_from_one_host_are_a_flood_and_from_many_are_a_crowd() {
    let connections = |hosts: u64| {
        let mut script = Script::default();
        for n in 0..4_000_u64 {
            let from = format!("198.18.1.{}", n % hosts + 1);
            let then = [FlowEvent::Answered, FlowEvent::Established];
            script.syn(n, (&from, 1_024 + u16::try_from(n).unwrap()), (SERVER, 443), &then);
        }
        of(script.run(), Category::FloodVolume).len()
    };
    assert_eq!((connections(1), connections(100)), (1, 0));
}

#[test]
fn forged_connection_requests_to_ever_other_ports_are_a_flood() {
    let mut script = Script::default();
    for n in 0..3_000_u64 {
        let from = format!("198.18.{}.{}", n % 200, n % 250 + 1);
        script.syn(n * 3, (&from, 1_024), (SERVER, 1 + u16::try_from(n * 19 % 60_000).unwrap()), &[]);
    }
    let found = of(script.run(), Category::FloodSyn);
    assert_eq!(
        found.iter().map(|one| (one.originator, one.responder)).collect::<Vec<_>>(),
        [(None, host(SERVER))]
    );
    assert!(found[0].ports.is_empty());
}

#[test]
fn clients_of_which_only_one_half_is_captured_are_no_syn_flood() {
    let mut script = Script::default();
    for n in 0..3_000_u64 {
        let from = format!("198.18.{}.{}", n % 200, n % 250 + 1);
        let flow = script.syn(n * 3, (&from, 1_024), (SERVER, 80), &[]);
        let opening = Opening { from_originator: true, bytes: 300, ..Opening::default() };
        script.push(n * 3 + 40, flow, FlowEvent::Opening(opening));
    }
    assert!(of(script.run(), Category::FloodSyn).is_empty());
}

#[test]
fn answers_without_question_from_many_are_a_reflection() {
    let mut known = Script::default();
    let many = |n: u64| (format!("198.18.{}.{}", n % 20, n % 250 + 1), 123);
    datagrams(&mut known, 300, 4, many, SERVER, 80);
    let finding = known.only(Category::FloodAmplification);
    assert_eq!(
        (finding.originator, finding.responder, finding.ports.as_slice()),
        (None, host(SERVER), [123].as_slice())
    );
    let mut any = Script::default();
    let many = |n: u64| (format!("198.18.{}.{}", n % 20, n % 250 + 1), 20_800);
    datagrams(&mut any, 1_500, 2, many, SERVER, 80);
    any.only(Category::FloodAmplification);
    let mut tcp = Script::default();
    for n in 0..600_u64 {
        let flow = tcp.flow(TCP, (SERVER, 1_024), (&format!("198.18.3.{}", n % 200 + 1), 443));
        tcp.push(n * 5, flow, FlowEvent::Started(First::Midstream));
        tcp.push(n * 5, flow, FlowEvent::Answered);
    }
    tcp.only(Category::FloodAmplification);
}

#[test]
fn half_of_a_resolvers_traffic_is_no_reflection() {
    let mut script = Script::default();
    for n in 0..2_000_u64 {
        let port = 1_024 + u16::try_from(n * 31 % 60_000).unwrap();
        let flow = script.flow(UDP, (&format!("198.18.{}.{}", n % 7, n % 250 + 1), 53), (SERVER, port));
        let answer = Dns {
            from_originator: true,
            is_response: true,
            qname: format!("{n}.example").into(),
            message_bytes: 150,
            ..Dns::default()
        };
        script.push(n * 10, flow, FlowEvent::Started(First::Datagram));
        script.push(n * 10, flow, FlowEvent::Dns(Box::new(answer)));
    }
    assert!(of(script.run(), Category::FloodAmplification).is_empty());
}

#[test]
fn a_service_of_ours_that_answers_too_much_is_told() {
    let server = |factor: u64| {
        let mut script = Script::default();
        for n in 0..1_000_u64 {
            let flow = script.flow(UDP, (OUT, 1_024 + u16::try_from(n).unwrap()), (SERVER, 53));
            script.push(n * 20, flow, FlowEvent::Started(First::Datagram));
            script.push(n * 20 + 1, flow, FlowEvent::Answered);
            let volume = |bytes| Volume { packets: 1, bytes, ..Volume::default() };
            let record = FlowRecord {
                start: at(n * 20),
                end: at(n * 20 + 1),
                originator: volume(60),
                responder: volume(60 * factor),
                ..FlowRecord::default()
            };
            script.push(n * 20 + 60_000, flow, FlowEvent::Ended(Box::new(record)));
        }
        of(script.run(), Category::FloodAmplification)
    };
    let found = server(40);
    assert_eq!(
        found.iter().map(|one| (one.originator, one.responder)).collect::<Vec<_>>(),
        [(host(SERVER), host(OUT))]
    );
    assert!(server(4).is_empty());
}

/// A request that came to its end and was answered, or neither.
fn exchange(complete: bool) -> FlowEvent {
    let request = http::Request {
        method: "GET".into(),
        body: http::Body { complete, ..http::Body::default() },
        ..http::Request::default()
    };
    let exchange = HttpExchange {
        from_originator: true,
        request: Some(request),
        response: complete.then(http::Response::default),
        ..HttpExchange::default()
    };
    FlowEvent::Transaction(Box::new(exchange.into()))
}

#[test]
fn unfinished_requests_in_masses_are_a_slow_attack() {
    let service = |unfinished: u16, finished: u16, midstream: bool| {
        let mut script = Script::default();
        for n in 0..unfinished + finished {
            let flow = script.flow(TCP, (OUT, 1_024 + n), (SERVER, 80));
            let done = n >= unfinished;
            script.push(u64::from(n) * 10, flow, exchange(done));
            let conduct = Conduct { midstream, ..Conduct::default() };
            let record = FlowRecord { conduct, ..FlowRecord::default() };
            script.push(u64::from(n) * 10, flow, FlowEvent::Ended(Box::new(record)));
        }
        let found = of(script.run(), Category::FloodSlow);
        found.iter().map(|one| (one.originator, one.count)).collect::<Vec<_>>()
    };
    assert_eq!(service(150, 0, false), [(host(OUT), 150)]);
    assert!(service(40, 400, false).is_empty());
    assert!(service(150, 0, true).is_empty(), "the capture has only parts of these");
}

#[test]
fn connections_held_by_pieces_are_a_slow_attack() {
    let clients = |piece: u32, then: Option<FlowEvent>| {
        let mut script = Script::default();
        let opening = |from_originator| Opening { from_originator, bytes: 60, ..Opening::default() };
        for n in 0..80_u16 {
            let flow = script.syn(
                u64::from(n),
                (OUT, 1_024 + n),
                (SERVER, 80),
                &[FlowEvent::Answered, FlowEvent::Established],
            );
            script.push(100 + u64::from(n), flow, FlowEvent::Opening(opening(true)));
            then.iter().for_each(|what| script.push(200 + u64::from(n), flow, what.clone()));
            (1..8).for_each(|number| {
                script.push(number * 4_000 + u64::from(n), flow, traffic((1, piece), (1, 52)));
            });
        }
        of(script.run(), Category::FloodSlow).len()
    };
    assert_eq!(clients(78, None), 1);
    let answered = Opening { from_originator: false, bytes: 200, ..Opening::default() };
    assert_eq!(clients(78, Some(FlowEvent::Opening(answered))), 0, "WebSockets were answered");
    assert_eq!(clients(53, None), 0, "keep-alives carry nothing");
    assert_eq!(clients(1_400, None), 0, "uploads come in full segments");
    let request = |method: &str| {
        let request = HttpRequest { method: method.into(), ..HttpRequest::default() };
        Some(FlowEvent::HttpRequest(Box::new(request)))
    };
    assert_eq!((clients(78, request("GET")), clients(78, request("POST"))), (0, 1));
}

#[test]
fn uploads_are_told_by_how_well_their_destination_is_known() {
    let upload = |reports: u64, port: u16, name: Option<&str>, received: u32| {
        let mut script = Script::default();
        let flow = script.syn(0, (IN, 50_000), (OUT, port), &[FlowEvent::Answered, FlowEvent::Established]);
        script.push(30, flow, traffic((2, 600), (2, 600)));
        let hello = ClientHello { server_name: name.map(Into::into), ..ClientHello::default() };
        script.push(31, flow, FlowEvent::Tls(Box::new(hello)));
        (0..reports).for_each(|n| script.push(100 + n * 10, flow, traffic((60, 1_000_000), (4, received))));
        let found = of(script.run(), Category::ExfilVolume);
        found.iter().map(|one| one.severity.level()).collect::<Vec<_>>()
    };
    assert_eq!(upload(150, 8_444, None, 200), [2]);
    assert_eq!(upload(600, 443, Some("files.example"), 200), [2]);
    assert_eq!(upload(600, 443, None, 200), [3]);
    assert_eq!(upload(150, 443, Some("files.example"), 200), [1]);
    assert_eq!(upload(600, 443, Some("www.dropbox.com"), 200), [1]);
    assert_eq!(upload(1, 443, Some("transfer.sh"), 200), [2]);
    assert!(upload(90, 443, None, 200).is_empty());
    assert!(upload(300, 3_478, None, 900_000).is_empty(), "a video call is even");
}

#[test]
fn what_went_there_yesterday_is_a_backup() {
    let mut script = Script::default();
    for day in 0..3_u64 {
        let flow = script.syn(day * 86_400_000, (IN, 50_000), (OUT, 8_444), &[FlowEvent::Answered]);
        (0..150).for_each(|n| {
            script.push(day * 86_400_000 + 100 + n * 10, flow, traffic((60, 1_000_000), (4, 200)));
        });
    }
    let found = of(script.run(), Category::ExfilVolume);
    assert_eq!(found.iter().map(|one| one.severity.level()).collect::<Vec<_>>(), [2, 1, 1]);
}

#[test]
fn files_by_ftp_count_and_refused_ones_and_what_comes_in_do_not() {
    let store = |from: &str, to: &str, code: u16| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (from, 50_000), (to, 21));
        let command = FtpCommand {
            command: Some("STOR".into()),
            replies: vec![(Some(code), "".into())],
            ..FtpCommand::default()
        };
        (0..3).for_each(|n| {
            script.push(n * 1_000, flow, FlowEvent::Transaction(Box::new(command.clone().into())));
        });
        let found = of(script.run(), Category::ExfilVolume);
        found.iter().map(|one| (one.severity.level(), one.count)).collect::<Vec<_>>()
    };
    assert_eq!(store(IN, OUT, 226), [(2, 3)]);
    assert_eq!(store(IN, SERVER, 226), [(1, 3)]);
    assert!(store(IN, OUT, 550).is_empty() && store(OUT, IN, 226).is_empty());
}

#[test]
fn a_file_in_a_request_to_a_bare_address_counts() {
    let post = |host: &str, bytes: u64| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (IN, 50_000), (OUT, 80));
        let field = http::Field { name: "Host".into(), value: host.into() };
        let body = http::Body { bytes, complete: true, ..http::Body::default() };
        let request =
            http::Request { method: "POST".into(), fields: [field].into(), body, ..http::Request::default() };
        let exchange = HttpExchange {
            application: Application::Http,
            from_originator: true,
            request: Some(request),
            ..HttpExchange::default()
        };
        script.push(0, flow, FlowEvent::Transaction(Box::new(exchange.into())));
        of(script.run(), Category::ExfilVolume).first().map(|one| one.severity.level())
    };
    assert_eq!(
        (post("203.0.113.7:8080", 100_000), post("up.example", 100_000), post("203.0.113.7", 9_000)),
        (Some(2), Some(1), None)
    );
}

#[test]
fn mail_to_oneself_in_clear_text_counts() {
    let mail = |to: &str, tls: bool, attached: bool| {
        let mut script = Script::default();
        let flow = script.flow(TCP, (IN, 50_000), (OUT, 587));
        let message = MailMessage {
            attachments: if attached { vec!["report.zip".into()] } else { vec![] },
            ..MailMessage::default()
        };
        let mail = SmtpMail {
            mail_from: Some("<a@city.example>".into()),
            rcpt_to: vec![to.into()],
            message: Some(message),
            login: Some(SmtpLogin::default()),
            tls,
            ..SmtpMail::default()
        };
        script.push(0, flow, FlowEvent::Transaction(Box::new(mail.into())));
        let found = of(script.run(), Category::ExfilVolume);
        found.first().map(|one| one.severity.level())
    };
    assert_eq!(mail("<A@city.example>", false, true), Some(2));
    assert_eq!(mail("<b@city.example>", false, true), Some(1));
    assert_eq!((mail("<a@city.example>", true, true), mail("<b@city.example>", false, false)), (None, None));
}

#[test]
fn what_flows_leave_over_at_their_end_is_no_burst() {
    let mut script = Script::default();
    for n in 0..200_u16 {
        let flow = script.flow(UDP, (OUT, 1_024 + n), (SERVER, 9_999));
        script.push(u64::from(n) * 500, flow, FlowEvent::Started(First::Datagram));
        script.push(200_000, flow, traffic((60, 60 * 1_000), (0, 0)));
        script.push(200_000, flow, FlowEvent::Ended(Box::default()));
    }
    assert!(of(script.run(), Category::FloodVolume).is_empty());
}

#[test]
fn strangers_neither_blind_nor_grow_the_detectors() {
    let mut script = Script::default();
    for n in 0..40_000_u64 {
        let to = format!("198.{}.{}.{}", 18 + n / 65_536, n / 256 % 256, n % 256);
        let flow = script.flow(UDP, (IN, 40_000), (&to, 4_444));
        script.push(n / 10, flow, FlowEvent::Started(First::Datagram));
        script.push(n / 10 + 1, flow, traffic((1, 60), (0, 0)));
    }
    for n in 0..100_u64 {
        let flow = script.flow(ICMP, (OUT, 8), (SERVER, 0));
        script.push(n * 40, flow, traffic((64, 6_000), (0, 0)));
    }
    assert_eq!(of(script.run(), Category::FloodVolume).len(), 1);
}
