//! `src/pb.rs` is what `proto/sekimori.proto` generates: the `.proto` is the contract.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sekimori-wire --test proto` writes it anew.
#![expect(clippy::tests_outside_test_module, reason = "an integration test is a test module")]
#![expect(clippy::disallowed_methods, reason = "the test may write what the crate may not")]

use std::path::Path;

#[test]
fn the_generated_code_fits_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(["sekimori.proto"], [root.join("proto")]).expect("the .proto compiles");
    let out = tempfile::tempdir().expect("a temporary folder");
    prost_build::Config::new().btree_map(["."]).out_dir(out.path()).compile_fds(descriptors).expect("code");
    let generated = std::fs::read_to_string(out.path().join("sekimori.v1.rs")).expect("generated code");
    let kept = root.join("src/pb.rs");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&kept, &generated).expect("src/pb.rs can be written");
    }
    let kept = std::fs::read_to_string(kept).expect("src/pb.rs");
    assert!(kept == generated, "src/pb.rs is not what the .proto generates: run with UPDATE_GOLDEN=1");
}
