//! HTTP in hand-checked and hostile bytes.

use super::*;
use crate::event::{HttpExchange, Transaction};
use crate::proto::bench::{Bench, C as CLIENT, S as SERVER, play};

fn exchanges(bench: &Bench) -> Vec<&HttpExchange> {
    bench.all(|one| if let Transaction::Http(one) = one { Some(&**one) } else { None })
}

/// Method, target, status, and the bytes of both bodies.
fn lines(turns: &[(Side, &[u8])], piece: usize) -> Vec<String> {
    let line = |one: &HttpExchange| {
        let request = one.request.as_ref().map(|it| format!("{} {} {}", it.method, it.target, it.body.bytes));
        let response = one.response.as_ref().map(|it| {
            format!("{} {}{}", it.status, it.body.bytes, if it.body.complete { "" } else { " cut" })
        });
        format!("{} -> {}", request.unwrap_or_default(), response.unwrap_or_default())
    };
    exchanges(&play(80, turns, piece)).into_iter().map(line).collect()
}

#[test]
fn requests_and_responses_stay_together() {
    let check = |turns: &[(Side, &[u8])], expected: &[&str]| {
        for piece in [1, 3, 50, 5_000] {
            assert_eq!(lines(turns, piece), expected, "pieces of {piece}");
        }
    };
    // Pipelined, one with a body; a response to HEAD has none; chunks with a trailer; one until the end.
    check(
        &[
            (CLIENT, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd"),
            (CLIENT, b"HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"),
            (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz"),
            (SERVER, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nX: y\r\n\r\n"),
            (SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil the end"),
        ],
        &["GET /1 0 -> 200 3", "POST /2 4 -> 200 5", "HEAD /3 0 -> 200 0", "GET /4 0 -> 200 13"],
    );
    // 100, then the response; a method that nobody knows; a status that is no number.
    check(
        &[
            (CLIENT, b"QUERY /q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
            (SERVER, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (CLIENT, b"ab"),
            (SERVER, b"HTTP/1.1 2XX Odd\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["QUERY /q 2 -> 2XX 0"],
    );
    // Before HTTP/1.0; nothing but a response; nothing but a request.
    check(&[(CLIENT, b"GET /\r\n"), (SERVER, b"<html>")], &["GET / 0 ->  6"]);
    check(&[(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")], &[" -> 200 1"]);
    check(&[(CLIENT, b"GET / HTTP/1.0\r\n\r\n")], &["GET / 0 -> "]);
    // A body that the connection cut.
    check(
        &[(CLIENT, b"GET / HTTP/1.0\r\n\r\n"), (SERVER, b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nxyz")],
        &["GET / 0 -> 200 3 cut"],
    );
}

#[test]
fn what_follows_connect_is_probed_anew() {
    let turns: [(Side, &[u8]); 4] = [
        (CLIENT, b"CONNECT in.test:80 HTTP/1.1\r\nHost: in.test:80\r\n\r\n"),
        (SERVER, b"HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n"),
        (CLIENT, b"GET /in HTTP/1.1\r\nHost: in.test\r\n\r\n"),
        (SERVER, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    assert_eq!(lines(&turns, 9), ["CONNECT in.test:80 0 -> 200 0", "GET /in 0 -> 204 0"]);
    // Refused: the connection goes on as it was.
    let refused: [(Side, &[u8]); 3] = [
        turns[0],
        (SERVER, b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"),
        (CLIENT, b"GET /out HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    assert_eq!(lines(&refused, 9), ["CONNECT in.test:80 0 -> 407 2", "GET /out 0 -> "]);
}

#[test]
fn upgrades_are_noted() {
    let turns: [(Side, &[u8]); 3] = [
        (CLIENT, b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"),
        (SERVER, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        (CLIENT, b"\x81\x85abcdabcde"),
    ];
    let applications = play(80, &turns, 40).applications();
    assert_eq!(applications, [Application::Http, Application::WebSocket]);
    assert_eq!(lines(&turns, 40), ["GET /ws 0 -> 101 0"]);
}

#[test]
fn a_gap_in_a_body_is_counted_and_the_next_message_is_read() {
    let mut bench = Bench::to_port(80);
    bench.stream(CLIENT, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.stream(CLIENT, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.stream(SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n").stream(SERVER, b"abcdefghij");
    bench.lose(SERVER, Some(60)).stream(SERVER, b"HTTP/1.1 304 Not Modified\r\n\r\n").finish();
    let body = |one: &HttpExchange| {
        let body = one.response.as_ref().unwrap().body;
        let files = one.files.iter().map(|file| (file.size, file.gaps)).collect();
        (body.bytes, body.missing, files)
    };
    let seen: Vec<(_, _, Vec<_>)> = exchanges(&bench).into_iter().map(body).collect();
    assert_eq!(seen, [(10, 60, vec![(70, true)]), (0, 0, vec![])]);
}

#[test]
fn detectors_see_requests_and_statuses_at_once_and_no_secrets() {
    let turns: [(Side, &[u8]); 2] = [
        (
            CLIENT,
            b"GET /a/b?token=1 HTTP/1.1\r\nHost: WWW.Example.JP:8080\r\nAuthorization: Basic dGVzdDpzZWNyZXQ=\r\n\
              Cookie: id=secret\r\nUser-Agent: curl/8\xff\r\n\r\n",
        ),
        (SERVER, b"HTTP/1.1 401 No\r\n"),
    ];
    let bench = play(80, &turns, 4_000);
    let found: Vec<_> = bench.events().collect();
    let FlowEvent::HttpRequest(request) = found[0] else { panic!("{found:?}") };
    assert_eq!((&*request.path, request.host.as_deref()), ("/a/b", Some("www.example.jp")));
    assert_eq!((request.has_authorization, request.user_agent.as_deref()), (true, Some("curl/8\u{fffd}")));
    let FlowEvent::Transaction(one) = found.last().unwrap() else { panic!("{found:?}") };
    let Transaction::Http(exchange) = &**one else { panic!("{one:?}") };
    assert_eq!(exchange.request.as_ref().unwrap().user.as_deref(), Some("test"));
    let text = format!("{found:?}");
    assert!(!text.contains("secret") && !text.contains("c2VjcmV0") && !text.contains("dGVzd"), "{text}");
}

#[test]
fn hostile_connections_cost_no_more_than_their_bytes() {
    // Requests without responses; chunks of one byte; fields without end.
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20_000);
    assert_eq!(exchanges(&play(80, &[(CLIENT, &requests)], 1_460)).len(), 20_000);
    let chunks = [
        &b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        &b"1\r\nx\r\n".repeat(100_000),
        b"0\r\n\r\n",
    ];
    let bench = play(80, &[(CLIENT, &chunks.concat())], 1_460);
    assert_eq!(exchanges(&bench)[0].request.as_ref().unwrap().body.bytes, 100_000);
    let fields = [&b"GET / HTTP/1.1\r\n"[..], &b"a:b\r\n".repeat(50_000), b"\r\n"].concat();
    let bench = play(80, &[(CLIENT, &fields)], fields.len());
    assert_eq!(exchanges(&bench)[0].request.as_ref().unwrap().fields.len(), 64);
}
