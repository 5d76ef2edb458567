//! Heads of HTTP/1: hand-checked, lenient and hostile ones.

use super::*;

#[test]
fn reads_requests() {
    let check = |text: &str, method: &str, host: Option<&str>, path: &str, length: Length| {
        assert_eq!(end(text.as_bytes(), 0), Some(text.len()), "{text}");
        let head = read(text.as_bytes());
        let summary = head.summary(&request_line(head.line));
        assert_eq!(
            (&*summary.method, summary.host.as_deref(), &*summary.path, head.length()),
            (method, host, path, length),
            "{text}"
        );
    };
    let none = Length::Unsaid;
    let whole = "GET /a/b?q=secret HTTP/1.1\r\nHost: WWW.Example.JP:8080\r\n\r\n";
    check(whole, "GET", Some("www.example.jp"), "/a/b", none);
    let absolute = "GET http://u:p@proxy.test:3128/x?y HTTP/1.1\r\nHost: other\r\n\r\n";
    check(absolute, "GET", Some("proxy.test"), "/x", none);
    check("GET http://proxy.test HTTP/1.1\r\n\r\n", "GET", Some("proxy.test"), "/", none);
    check("CONNECT mail.test:443 HTTP/1.1\r\n\r\n", "CONNECT", Some("mail.test"), "", none);
    check("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "GET", Some("2001:db8::1"), "/", none);
    check("GET / HTTP/1.0\n\n", "GET", None, "/", none);
    check("POST /f HTTP/1.1\r\nContent-Length: 12\r\n\r\n", "POST", None, "/f", Length::Bytes(12));
    let chunked = "PUT /f HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 9\r\n\r\n";
    check(chunked, "PUT", None, "/f", Length::Chunked);
    check("POST /f HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST", None, "/f", Length::Unclear);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "関".repeat(200));
    let head = read(long.as_bytes());
    assert_eq!(head.summary(&request_line(head.line)).path.len(), 256);
}

#[test]
fn reads_what_is_odd() {
    let line = |text: &'static str| {
        let line = request_line(text.as_bytes());
        [line.method, line.target, line.protocol].map(|part| str::from_utf8(part).unwrap())
    };
    assert_eq!(line("GET  /a b  HTTP/1.1"), ["GET", "/a b", "HTTP/1.1"]);
    assert_eq!(line("GET /"), ["GET", "/", ""]);
    assert_eq!(line("GET /a HTTPS"), ["GET", "/a HTTPS", ""]);
    assert_eq!(line("get / http/9.9"), ["get", "/", "http/9.9"]);
    let status = status_line(b"HTTP/1.1  2XX  Not a  number ");
    assert_eq!(
        (status.protocol, status.status, status.reason),
        (&b"HTTP/1.1"[..], &b"2XX"[..], &b"Not a  number"[..])
    );
    // A folded line, a line without colon, a name with blanks, a field that is cut.
    let head = read(b"GET / HTTP/1.1\r\nA: 1\r\n 2\r\nnothing\r\nB : 3\r\nC: ");
    let fields: Vec<_> = head.kept().iter().map(|field| format!("{}={}", field.name, field.value)).collect();
    assert_eq!(fields, ["A=1   2", "B=3", "C="]);
}

#[test]
fn a_head_ends_with_an_empty_line_wherever_it_was_searched_before() {
    let text = b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n\n";
    for from in 0..24 {
        assert_eq!(end(text, from), Some(24), "from {from}");
    }
    assert_eq!(end(&text[..23], 0), None);
}

#[test]
fn probes_by_content() {
    for (text, expected) in [
        ("GET / HTTP/1.1", Ok(Kind::Request)),
        ("HTTP/1.1 200", Ok(Kind::Response)),
        ("PROPF", Err(true)),
        ("HTT", Err(true)),
        ("GETX", Err(true)),
        ("QUERY /users HTTP/1.1\r\n", Ok(Kind::Request)),
        ("QUERY /users HTT", Err(true)),
        ("QUERY /users\r\n", Err(false)),
        ("EHLO mail.test\r\n", Err(false)),
        ("USER someone\r\n", Err(false)),
        ("OPTIONS sip:a@b SIP/2.0\r\n", Err(false)),
        ("HTTP/2", Err(false)),
        ("\x16\x03", Err(false)),
    ] {
        assert_eq!(probe(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn users_are_read_and_passwords_are_not() {
    let user = |value: &str| {
        let text = format!("GET / HTTP/1.1\r\nAuthorization: {value}\r\n\r\n");
        read(text.as_bytes()).user()
    };
    assert_eq!(user("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin"));
    assert_eq!(user("basic dGVzdDoxOjM0").as_deref(), Some("test"));
    assert_eq!(user("Basic !!"), None);
    assert_eq!(user("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), None);
}
