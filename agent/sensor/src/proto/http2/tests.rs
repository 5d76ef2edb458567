//! Http2 in hand-checked and hostile bytes.

use super::*;
use crate::event::{HttpExchange, Transaction};
use crate::proto::bench::{Bench, C as CLIENT, S as SERVER};

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// The exchanges of a connection of which each side's pieces come in this order.
fn exchanges(pieces: &[(Side, &[u8])]) -> (Vec<HttpExchange>, u64) {
    let hint = Hint::of_port(8080);
    let mut bench = Bench::of(begin(&hint), hint.flow);
    pieces.iter().for_each(|(side, bytes)| {
        bench.stream(*side, bytes);
    });
    bench.finish();
    let all = bench.all(|one| if let Transaction::Http(one) = one { Some(&**one) } else { None });
    (all.into_iter().cloned().collect(), bench.malformed())
}

#[test]
fn a_stream_is_an_exchange() {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255]);
    // GET, http, /, www.example.com (RFC 7541, C.4.1) in two frames; then 200 and five bytes in two.
    let block = [
        0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    let (first, second) = block.split_at(5);
    let request =
        [frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, second)].concat();
    let response = frame(HEADERS, END_HEADERS, 1, &[0x88]);
    let data =
        [frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM | PADDED, 1, &[2, b'd', b'e', 0, 0])].concat();
    let (found, malformed) = exchanges(&[
        (CLIENT, PREFACE),
        (CLIENT, &settings),
        (SERVER, &settings),
        (CLIENT, &request),
        (SERVER, &response),
        (SERVER, &data),
    ]);
    let [ours, theirs, exchange] = &*found else { panic!("{found:?}") };
    assert_eq!(malformed, 0);
    assert_eq!(*ours.http2.as_ref().unwrap().client_settings, [(3, 100), (4, 65_535)]);
    assert_eq!(theirs.http2.as_ref().unwrap().server_settings.len(), 2);
    let (request, response) = (exchange.request.as_ref().unwrap(), exchange.response.as_ref().unwrap());
    assert_eq!((&*request.method, &*request.target, &*response.status), ("GET", "/", "200"));
    assert_eq!((response.body.bytes, response.body.complete, exchange.number), (5, true, 2));
    assert_eq!(exchange.files.iter().map(|file| (&*file.name, file.size)).collect::<Vec<_>>(), [("/", 5)]);
}

#[test]
fn streams_that_nobody_ends_are_bounded() {
    let mut stream = PREFACE.to_vec();
    for nth in 0..10_000_u32 {
        stream.extend(frame(HEADERS, END_HEADERS, nth * 2 + 1, &[0x82, 0x86, 0x84]));
    }
    let (found, _) = exchanges(&[(CLIENT, &stream)]);
    assert_eq!(found.len(), 10_000);
}

#[test]
fn a_block_without_end_is_given_up() {
    let mut stream = PREFACE.to_vec();
    stream.extend(frame(HEADERS, 0, 1, &[0x82; 9_000]));
    for _ in 0..1_000 {
        stream.extend(frame(CONTINUATION, 0, 1, &[0x82; 9_000]));
    }
    let (found, malformed) = exchanges(&[(CLIENT, &stream)]);
    assert_eq!((found.len(), malformed), (0, 1));
}
