//! Renewals against a real TLS server in this process, over a disk that fails at every step.

use std::sync::Mutex;

use rcgen::CertificateSigningRequestParams;
use sekimori_delivery::disk::fault::Disk;
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::id::Digest;
use sekimori_wire::keyring::KeyRing;

use super::super::files::{Enrolment, SIGNING_KEY};
use super::super::tests::{Authority, serve};
use super::super::verifying_key;
use super::*;

/// An enrolled agent in a folder, with what a renewal needs.
struct Agent {
    state: tempfile::TempDir,
    renewer: Renewer,
    asked: Arc<Mutex<Vec<RenewRequest>>>,
}

impl Agent {
    /// With a collector that renews for `life_seconds`; `loses` its first answers.
    async fn start(life_seconds: u64, mut loses: u32) -> Self {
        let authority = Arc::new(Authority::new());
        let (issuer, asked) = (Arc::clone(&authority), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&asked);
        let url = serve(authority.server_config(Some(&authority)), move |path, body| {
            assert_eq!(path, "/v1/renew");
            let request: RenewRequest = serde_json::from_slice(&body).unwrap();
            let response = RenewResponse {
                certificate_pem: CertificateSigningRequestParams::from_pem(&request.csr_pem)
                    .unwrap()
                    .signed_by(issuer.issuer())
                    .unwrap()
                    .pem(),
                life_seconds,
                ca_pem: issuer.ca_pem().to_owned(),
                collector_keys: vec![URL_SAFE_NO_PAD.encode(issuer.collector.verifying_key().as_bytes())],
                ingest_urls: vec!["https://127.0.0.1:1".into()],
                trust: "second".into(),
            };
            seen.lock().unwrap().push(request);
            if loses > 0 {
                loses -= 1;
                return (500, Vec::new());
            }
            (200, serde_json::to_vec(&response).unwrap())
        })
        .await;
        let state = tempfile::tempdir().unwrap();
        let dir = folder(state.path());
        disk::create_private_dir(&dir).unwrap();
        let files = files(&authority);
        files.commit(&dir).unwrap();
        Files::settle(&dir).unwrap();
        let holder = Arc::new(Holder::new(Identity::load(state.path()).unwrap()));
        let lanes = Arc::new(Lanes::open(&state.path().join("spool"), 1 << 20).unwrap());
        let renewer = Renewer { holder, lanes, dir, line: Line { urls: vec![url], ..Line::direct() } };
        Self { state, renewer, asked }
    }

    fn load(&self) -> Identity {
        Identity::load(self.state.path()).unwrap()
    }
}

fn files(authority: &Authority) -> Files {
    let (key, pkcs8) = SigningKey::generate().unwrap();
    let (certificate, tls_key) = authority.issue_pem("agent");
    let collector_key = URL_SAFE_NO_PAD.encode(authority.collector.verifying_key().as_bytes());
    Files {
        signing_key: URL_SAFE_NO_PAD.encode(pkcs8),
        tls_key,
        certificate,
        ca: authority.ca_pem().to_owned(),
        enrolment: Enrolment {
            agent: key.verifying_key().id().to_string(),
            name: "gw".into(),
            body: "422011".into(),
            epoch: 3,
            ingest_urls: Vec::new(),
            collector_key,
            collector_keys: Vec::new(),
            trust: "first".into(),
            certified_at: 1_700_000_000,
            life_seconds: 7_776_000,
            keys: Vec::new(),
            user_key: None,
        },
    }
}

#[tokio::test]
async fn a_renewal_brings_a_new_key_and_what_is_trusted() {
    let agent = Agent::start(100, 0).await;
    let before = agent.load();
    let renewed = agent.renewer.renew(false).await.unwrap();
    Files::settle(&agent.renewer.dir).unwrap();
    let after = agent.load();
    assert_ne!(after.certificates, before.certificates);
    assert_ne!(after.tls_key.secret_der(), before.tls_key.secret_der());
    assert_eq!((after.agent(), after.signer.epoch, after.user_key()), (before.agent(), 3, before.user_key()));
    assert_eq!((after.trust.as_str(), after.life), ("second", Duration::from_secs(100)));
    assert_eq!(after.certificates, renewed.certificates);
    assert!(!agent.renewer.dir.join("renewal.json").exists());
    let asked = agent.asked.lock().unwrap().pop().unwrap();
    let possession = URL_SAFE_NO_PAD.decode(&asked.possession).unwrap();
    let key = before.signer.key.verifying_key();
    assert!(key.verifies_labelled(RENEW_LABEL, asked.csr_pem.as_bytes(), &possession));
    assert_eq!(asked.rotation, None);
}

#[tokio::test]
async fn another_signing_key_is_the_same_agents_also_after_a_lost_answer() {
    let agent = Agent::start(100, 1).await;
    let before = agent.load();
    ask_for_rotation(agent.state.path()).unwrap();
    assert!(agent.renewer.renew(true).await.is_err(), "the answer is lost");
    // Meanwhile both lanes go on, in epochs that nobody foresaw.
    agent.renewer.lanes.of_lane(Lane::Detail).begin_epoch(8).unwrap();
    agent.renewer.renew(true).await.unwrap();
    Files::settle(&agent.renewer.dir).unwrap();
    let after = agent.load();
    assert_eq!((after.agent(), after.user_key()), (before.agent(), before.user_key()));
    assert_eq!((after.signer.epoch, after.signer.keys.newest_from()), (9, 9));
    assert_eq!(after.signer.key.verifying_key(), after.signer.keys.newest());
    assert!(!agent.renewer.dir.join(ROTATE).exists() && !agent.renewer.dir.join(NEXT_KEY).exists());
    let asked: Vec<Rotation> =
        agent.asked.lock().unwrap().iter().map(|asked| asked.rotation.clone().unwrap()).collect();
    assert_eq!(asked.iter().map(|one| one.from_epoch).collect::<Vec<_>>(), [4, 9]);
    for rotation in asked {
        let key: VerifyingKey = verifying_key(&rotation.signing_key).unwrap();
        assert_eq!(&key, after.signer.keys.newest(), "one key, however often it is asked for");
        let mut ring = KeyRing::new(*before.signer.key.verifying_key());
        let voucher = URL_SAFE_NO_PAD.decode(&rotation.voucher).unwrap();
        ring.vouch(rotation.from_epoch, key, &voucher).unwrap();
        let text = voucher_of(before.agent(), &key, rotation.from_epoch);
        let possession = URL_SAFE_NO_PAD.decode(&rotation.possession).unwrap();
        assert!(key.verifies_labelled(SUCCESSOR_LABEL, &text, &possession));
    }
}

#[test]
fn wherever_the_machine_stops_there_is_one_good_pair() {
    let authority = Authority::new();
    let (mut old_found, mut new_found) = (0, 0);
    for steps in 0..38 {
        for loses in 0..3 {
            let state = tempfile::tempdir().unwrap();
            let dir = folder(state.path());
            disk::create_private_dir(&dir).unwrap();
            let old = files(&authority);
            old.commit(&dir).unwrap();
            Files::settle(&dir).unwrap();
            let (certificate, tls_key) = authority.issue_pem("renewed");
            let (key, pkcs8) = SigningKey::generate().unwrap();
            let mut new = Files { certificate, tls_key, ..old.clone() };
            new.signing_key = URL_SAFE_NO_PAD.encode(pkcs8);
            new.enrolment.agent = key.verifying_key().id().to_string();

            let disk = Disk::mount(state.path());
            disk.crash_after(steps, true);
            let committed = new.commit(&dir);
            let settled = committed.is_ok() && Files::settle(&dir).is_ok();
            disk.lose_power(|below| loses.min(below - 1));
            // The simulation makes files anew that were removed and came back.
            for entry in std::fs::read_dir(&dir).unwrap() {
                let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(entry.unwrap().path(), owner_only).unwrap();
            }

            let found = Files::read(&dir).unwrap();
            let identity = Identity::load(state.path()).unwrap();
            tls::client_config(&identity, &Line::direct()).expect("key and certificate belong together");
            if committed.is_ok() {
                assert_eq!(found, new, "after {steps} steps");
            } else {
                assert!(found == old || found == new, "after {steps} steps");
            }
            Files::settle(&dir).unwrap();
            assert_eq!(Files::read(&dir).unwrap(), found);
            assert_eq!(
                std::fs::read(dir.join(SIGNING_KEY)).unwrap(),
                URL_SAFE_NO_PAD.decode(&found.signing_key).unwrap()
            );
            (old_found, new_found) =
                (old_found + u32::from(found == old), new_found + u32::from(found == new));
            if settled && steps > 34 {
                assert_eq!(found, new);
            }
        }
    }
    assert!(old_found > 5 && new_found > 50, "{old_found} old, {new_found} new");
}

#[test]
fn a_certificate_is_renewed_by_two_thirds_of_its_life() {
    let authority = Authority::new();
    for _ in 0..20 {
        let mut identity = authority.identity(Vec::new());
        let began = Timestamp::from_secs(1_000_000);
        (identity.certified_at, identity.life) = (began, Duration::from_secs(90 * 86_400));
        let due = due_in(&identity, began).as_secs_f64() / 86_400.0;
        assert!((54.0..=60.0).contains(&due), "after {due} days");
        assert!(due_in(&identity, began.plus(Duration::from_secs(60 * 86_400))).is_zero());
        identity.life = Duration::ZERO;
        assert!(due_in(&identity, began).is_zero(), "a collector that did not say is asked");
    }
}

#[test]
fn a_user_names_hash_outlives_the_key_that_it_came_from() {
    let authority = Authority::new();
    let state = tempfile::tempdir().unwrap();
    let dir = folder(state.path());
    let mut files = files(&authority);
    let first = Identity::of(&files, &dir).unwrap();
    files.enrolment.user_key = Some(Digest::from_bytes(&first.user_key()).unwrap().to_string());
    assert_eq!(Identity::of(&files, &dir).unwrap().user_key(), first.user_key());
    // A chain of keys that does not end with the one that signs is no identity.
    files.enrolment.keys.push(Key {
        key: URL_SAFE_NO_PAD.encode([1; 32]),
        from_epoch: 0,
        voucher: String::new(),
    });
    assert!(matches!(Identity::of(&files, &dir), Err(IdentityError::Field { key: "keys", .. })));
}
