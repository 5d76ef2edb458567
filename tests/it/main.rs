//! End to end over the real programs: one binary, real TLS, real rings in network namespaces, a real browser.
//!
//! What a test needs and does not find (a program, a privilege) fails it with the reason: nothing is skipped in silence.
#![expect(
    clippy::tests_outside_test_module,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    reason = "a test fails by panicking"
)]

mod attacks;
mod benign;
mod browser;
mod budget;
mod captures;
mod carry;
mod catchup;
mod central;
mod clock;
mod console;
mod corpora;
mod crash;
mod delivery;
mod doctor;
mod endpoint;
mod exceptions;
mod fleet;
mod handed;
mod identity;
mod init;
mod kills;
mod learning;
mod life;
mod live;
mod oidc;
mod openapi;
mod path;
mod payload;
mod people;
mod reference;
mod replicas;
mod restore;
mod soak;
mod support;
#[path = "../../collector/src/store/testserver.rs"]
mod testserver;
mod units;
mod watch;
mod workers;
