//! Which policies are believed, how they add to a configuration, and what a disk that forgets costs.

use std::collections::BTreeMap;
use std::path::Path;

use sekimori_wire::ack::Ack;
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::finding::Severity;
use sekimori_wire::id::Digest;
use sekimori_wire::policy::Rules;
use sekimori_wire::time::Timestamp;

use super::folder::Record;
use super::*;

fn exception(id: &str, reason: &str) -> ExceptionFile {
    ExceptionFile { id: id.to_owned(), reason: reason.to_owned(), ..ExceptionFile::default() }
}

pub(crate) fn policy(agent: AgentId, version: u64, rules: Rules) -> Policy {
    Policy { agent, version, made_at: Timestamp::ZERO, rules }
}

fn agent() -> AgentId {
    AgentId::from_bytes(&[7; 32]).unwrap()
}

#[test]
fn only_the_collectors_own_newer_policy_for_this_agent_is_believed() {
    let (key, _) = SigningKey::generate().unwrap();
    let (other, _) = SigningKey::generate().unwrap();
    let seal = |agent, version, key: &SigningKey| {
        Envelope::seal_policy(&policy(agent, version, Rules::default()), key).unwrap()
    };
    let judged = |envelope: &Envelope| verified(envelope, key.verifying_key(), agent(), 4);
    assert_eq!(judged(&seal(agent(), 5, &key)).unwrap().version, 5);
    let refused = |envelope: &Envelope| judged(envelope).unwrap_err().to_string();
    assert!(refused(&seal(agent(), 5, &other)).contains("not signed by this agent's collector"));
    assert!(refused(&seal(AgentId::from_bytes(&[8; 32]).unwrap(), 5, &key)).contains("another agent"));
    assert!(refused(&seal(agent(), 4, &key)).contains("4 is not newer than 4"));
    // The same key signs acknowledgements: one is no policy.
    let ack = Ack {
        agent: agent(),
        lane: Lane::Urgent,
        epoch: 1,
        through: 1,
        head: Digest::ZERO,
        at: Timestamp::ZERO,
        policy_version: 5,
    };
    assert!(refused(&Envelope::seal_ack(&ack, &key)).contains("not signed"));
    let mut bytes = seal(agent(), 5, &key).to_bytes();
    let at = bytes.windows(4).position(|four| four == [7; 4]).unwrap();
    bytes[at] ^= 1;
    assert!(refused(&Envelope::from_bytes(&bytes).unwrap()).contains("not signed"));
}

#[test]
fn a_policy_adds_to_the_configuration_and_local_exceptions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    let local = "[intel]\nmax_age = \"7d\"\n[[intel.feed]]\nname = \"a\"\nmax_severity = 1\n[[exception]]\nid = \"EX-1\"\n\
                 reason = \"local\"\nowner = \"o\"\ncreated = \"2026-04-01\"\nexpires = \"2027-03-31\"\ncategory = \"scan.host\"\n";
    std::fs::write(&path, local).unwrap();
    let config = Config::load(&path).unwrap();
    let folder = Folder::of(folder.path());
    let (exceptions, sources) = together(&config, None, &folder);
    assert_eq!((exceptions.len(), sources.central.len()), (1, 0));
    let settings = Settings {
        intel_max_age_seconds: Some(60),
        feeds: BTreeMap::from([("a".to_owned(), Severity::CRITICAL)]),
        ..Settings::default()
    };
    let exceptions = vec![exception("EX-1", "central"), exception("EX-2", "central")];
    let policy = policy(agent(), 1, Rules { exceptions, intel: Vec::new(), settings });
    let (exceptions, sources) = together(&config, Some(&policy), &folder);
    let said: Vec<_> = exceptions.iter().map(|one| (one.id.as_str(), one.reason.as_str())).collect();
    assert_eq!(said, [("EX-1", "local"), ("EX-2", "central")]);
    assert_eq!(sources.max_age, Some(std::time::Duration::from_secs(60)));
    assert_eq!(sources.severities[0], ("a".to_owned(), Severity::CRITICAL));
}

fn keep(folder: &Folder, version: u64, key: &SigningKey) -> folder::Stored {
    let policy = policy(agent(), version, Rules::default());
    let envelope = Envelope::seal_policy(&policy, key).unwrap();
    folder.keep(version, &envelope, key.verifying_key()).unwrap()
}

fn files(state: &Path) -> usize {
    std::fs::read_dir(state.join("policy")).unwrap().count()
}

#[test]
fn what_is_kept_is_read_back_and_what_nothing_needs_goes() {
    let state = tempfile::tempdir().unwrap();
    let folder = Folder::of(state.path());
    let (key, _) = SigningKey::generate().unwrap();
    assert_eq!(folder.record(), Record::default());
    let mut record = Record::default();
    for version in 1..=4 {
        let current = keep(&folder, version, &key);
        record = Record { previous: record.current.take(), current: Some(current), ..record };
        folder.write(&record).unwrap();
        folder.keep_bundle(Digest::of(&version.to_be_bytes()), b"of an earlier policy").unwrap();
    }
    folder.write(&record).unwrap();
    assert_eq!(files(state.path()), 3, "the record, and two policies");
    assert_eq!(folder.record(), record);
    let [current, previous] = [record.current.unwrap(), record.previous.unwrap()];
    assert_eq!(folder.read(&current).unwrap().version, 4);
    assert_eq!(folder.read(&previous).unwrap().version, 3);
    std::fs::write(state.path().join("policy/4.policy"), "x").unwrap();
    assert!(folder.read(&current).unwrap_err().to_string().contains("the stored policy 4 is damaged"));
    std::fs::copy(state.path().join("policy/3.policy"), state.path().join("policy/4.policy")).unwrap();
    assert!(folder.read(&current).unwrap_err().to_string().contains("another version"));
    std::fs::write(state.path().join("policy/record.json"), "{").unwrap();
    assert_eq!(folder.record(), Record::default());
}
