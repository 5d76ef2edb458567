//! Swaps that are interrupted anywhere, and what agents are told meanwhile.

use super::*;
use crate::clock;
use crate::config::Config;
use crate::fleet::trust::{Entrance, Trust};
use crate::init;

async fn collector() -> (tempfile::TempDir, Config) {
    let holder = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let dir = holder.path().join("collector");
    let plan = init::Plan {
        dir,
        hosts: Vec::new(),
        ingest: any,
        enroll: any,
        console: any,
        store: crate::store::testing::url(),
    };
    let made = init::run(&plan).await.unwrap();
    (holder, Config::load(&made.config).unwrap())
}

fn blocks(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test]
async fn both_are_trusted_during_a_swap_and_only_the_new_one_after_it() {
    let (_holder, config) = collector().await;
    let paths = Paths::of(&config.dir);
    assert!(matches!(finish(&paths, &config.hosts, clock::now()), Err(SwapError::NotBegun)));
    let before = Trust::load(&config).unwrap();
    begin(&paths, clock::now().plus(std::time::Duration::from_secs(1))).unwrap();
    assert!(matches!(begin(&paths, clock::now()), Err(SwapError::Begun)));
    let during = Trust::load(&config).unwrap();
    assert!(during.swapping && during.name != before.name);
    assert_eq!((blocks(&during.ca_pem), during.collector_keys.len()), (2, 2));
    assert!(during.ca_pem.starts_with(&before.ca_pem), "the old one first");
    assert_ne!(during.authority.ca_pem(), before.authority.ca_pem(), "new certificates come from the new CA");
    // Who knows only the old ones can connect and believe: certificate and key are still theirs.
    assert_eq!(during.ack_key.verifying_key(), before.ack_key.verifying_key());
    let server = fs::read_to_string(paths.server()).unwrap();
    assert!(server.ends_with(&before.ca_pem));
    assert_eq!(during.own.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["ca", "ca.next", "server"]);

    // Other names for the server change nothing of that.
    renew_server(&paths, &["collector.example".to_owned()], clock::now()).unwrap();
    let renamed = fs::read_to_string(paths.server()).unwrap();
    assert!(renamed != server && renamed.ends_with(&before.ca_pem));
    assert_eq!(Trust::load(&config).unwrap().name, during.name);

    finish(&paths, &config.hosts, clock::now()).unwrap();
    let after = Trust::load(&config).unwrap();
    assert!(!after.swapping && after.name != during.name);
    assert_eq!((blocks(&after.ca_pem), after.collector_keys.len()), (1, 1));
    assert_eq!(after.authority.ca_pem(), during.authority.ca_pem());
    assert!(fs::read_to_string(paths.server()).unwrap().ends_with(&after.ca_pem));
    assert_ne!(after.ack_key.verifying_key(), before.ack_key.verifying_key());
    for gone in [paths.next_ca(), paths.next_ca_key(), paths.next_ack_key(), paths.finished()] {
        assert!(!gone.exists(), "{}", gone.display());
    }
}

#[tokio::test]
async fn a_finish_that_is_interrupted_is_finished_by_whoever_looks_next() {
    for moved in 0..=5 {
        let (_holder, config) = collector().await;
        let paths = Paths::of(&config.dir);
        begin(&paths, clock::now().plus(std::time::Duration::from_secs(1))).unwrap();
        let during = Trust::load(&config).unwrap();
        let next = Authority::load_next(&paths).unwrap();
        let (server, key) =
            authority::make_server(next.issuer(), next.ca_pem(), &config.hosts, clock::now()).unwrap();
        let (ca_key, ack) = (fs::read(paths.next_ca_key()).unwrap(), fs::read(paths.next_ack_key()).unwrap());
        let files: [(&str, &[u8], PathBuf); 5] = [
            ("ack.pk8", &ack, paths.ack_key()),
            ("ca.key.pem", &ca_key, paths.ca_key()),
            ("server.key.pem", key.as_bytes(), paths.server_key()),
            ("server.pem", server.as_bytes(), paths.server()),
            ("ca.pem", next.ca_pem().as_bytes(), paths.ca()),
        ];
        stage(&paths, &files.clone().map(|(name, content, _)| (name, content))).unwrap();
        for (name, _, place) in files.iter().take(moved) {
            fs::rename(paths.finished().join(name), place).unwrap();
        }
        let after = Trust::load(&config).unwrap();
        assert!(!after.swapping, "after {moved} files");
        assert_eq!(after.authority.ca_pem(), during.authority.ca_pem());
        // TLS refuses a certificate with the key of another.
        after.tls(Entrance::Mutual);
        assert!(!paths.next_ca().exists() && !paths.finished().exists());
        begin(&paths, clock::now().plus(std::time::Duration::from_secs(2))).unwrap();
    }
}
