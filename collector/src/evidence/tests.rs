//! What is exported checks out, and nothing in it can be changed without being named.

use super::*;
use crate::console::tests::Bench;

async fn bundles() -> (Vec<u8>, Vec<u8>) {
    let (bench, id) = Bench::filled().await;
    let (key, _) = SigningKey::generate().unwrap();
    let now = crate::clock::now();
    let (mut one, mut all) = (Vec::new(), Vec::new());
    let lines = incident(&bench.store, &id, &key, now, &mut one).await.unwrap();
    assert_eq!(lines, one.split(|byte| *byte == b'\n').count() as u64 - 1);
    store(&bench.store, None, &key, now, &mut all).await.unwrap();
    let nothing = incident(&bench.store, "INC-0", &key, now, Vec::new()).await;
    assert!(matches!(nothing, Err(ExportError::NoIncident(_))), "{nothing:?}");
    (one, all)
}

#[tokio::test]
async fn a_bundle_is_checked_by_itself() {
    let (one, all) = bundles().await;
    let checked = check(one.as_slice()).unwrap();
    assert!(checked.findings > 0 && checked.batches > 0 && checked.agents == 1, "{checked:?}");
    let checked = check(all.as_slice()).unwrap();
    assert!(checked.batches > 0 && checked.chains > 0, "{checked:?}");
}

#[tokio::test]
async fn every_changed_byte_is_noticed() {
    let (one, all) = bundles().await;
    for bundle in [one, all] {
        for at in (0..bundle.len()).step_by(97) {
            let mut bad = bundle.clone();
            bad[at] ^= 1;
            check(bad.as_slice()).expect_err("a changed byte");
        }
        for at in (0..bundle.len() - 1).step_by(313) {
            check(&bundle[..at]).expect_err("a cut bundle");
        }
        let twice = [bundle.as_slice(), bundle.as_slice()].concat();
        assert_eq!(check(twice.as_slice()).unwrap_err().why, "something follows the seal");
    }
}

/// Lines that somebody else seals again, with a key of their own.
fn resealed(lines: impl Iterator<Item = Value>) -> Vec<u8> {
    let (key, _) = SigningKey::generate().unwrap();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, &key);
    for line in lines.filter(|line| line["type"] != "seal") {
        writer.line(&line).unwrap();
    }
    writer.seal().unwrap();
    out
}

fn lines(bundle: &[u8]) -> Vec<Value> {
    let lines = bundle.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn whoever_holds_a_seal_cannot_change_what_agents_signed() {
    let (one, all) = bundles().await;
    assert_ne!(check(&*resealed(lines(&one).into_iter())).unwrap().sealed, check(&*one).unwrap().sealed);
    let changed = |bundle: &[u8], change: &dyn Fn(&mut Value)| {
        let lines = lines(bundle).into_iter().map(|mut line| {
            change(&mut line);
            line
        });
        check(&*resealed(lines)).unwrap_err().why
    };
    let severity = changed(&one, &|line| {
        if line["type"] == "finding" {
            line["finding"]["severity"] = 0.into();
        }
    });
    assert_eq!(severity, "its signed batch does not say this finding");
    let number = changed(&one, &|line| {
        if line["type"] == "batch" {
            line["seq"] = 900.into();
        }
    });
    assert!(number.ends_with("signed under another name than it is stored under"), "{number}");
    let agent = changed(&one, &|line| {
        if line["type"] == "agent" {
            line["id"] = "00".repeat(32).into();
        }
    });
    assert!(agent.ends_with("this is not its key"), "{agent}");

    let without = |kind: &str, at: usize| {
        let mut lines = lines(&all);
        let places: Vec<usize> = (0..lines.len()).filter(|place| lines[*place]["type"] == kind).collect();
        let from_end = places.len() - 1 - at;
        lines.remove(places[from_end]);
        check(&*resealed(lines.into_iter())).unwrap_err().why
    };
    assert!(without("batch", 0).ends_with("the end of the chain is missing"));
    assert!(without("agent", 0).ends_with("its agent is not in the bundle"));
    assert!(without("batch", 1).ends_with("is missing"));
}

/// What an agent takes out of its spool: batches `from..=to`, closed by `closer`.
fn carried(of: &Value, key: &SigningKey, seqs: &[u64], closer: &SigningKey) -> Vec<u8> {
    let agent = key.verifying_key().id();
    let mut lines = vec![
        json!({ "type": "bundle", "format": FORMAT, "of": of }),
        json!({ "type": "agent", "id": agent.to_string(), "key": URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()) }),
    ];
    let mut prev = Digest::ZERO;
    for seq in 1..=9 {
        let batch = Batch {
            agent,
            lane: sekimori_wire::batch::Lane::Detail,
            epoch: 4,
            seq,
            prev,
            sealed_at: crate::clock::now(),
            mode: sekimori_wire::batch::Mode::Live,
            version: "1".into(),
            records: Vec::new(),
            unknown_records: 0,
        };
        let envelope = sekimori_wire::envelope::Envelope::seal(&batch, key).unwrap();
        prev = envelope.digest();
        if seqs.contains(&seq) {
            let raw = base64::engine::general_purpose::STANDARD.encode(envelope.to_bytes());
            lines.push(json!({
                "type": "batch", "agent": agent.to_string(), "lane": 1, "epoch": 4, "seq": seq, "envelope": raw,
            }));
        }
    }
    let mut out: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let digest = aws_lc_rs::digest::digest(&SHA256, &out);
    let signature = closer.sign_labelled(sekimori_wire::bundle::CARRY_LABEL, digest.as_ref());
    let end = json!({
        "type": "carried", "lines": lines.len(), "sha256": hexadecimal(digest.as_ref()), "agent": agent.to_string(),
        "signature": URL_SAFE_NO_PAD.encode(signature),
    });
    out.extend(format!("{end}\n").into_bytes());
    out
}

#[test]
fn what_is_carried_is_one_piece_of_a_chain_that_its_agent_signed() {
    let [key, other] = [(); 2].map(|()| SigningKey::generate().unwrap().0);
    let spool = json!({ "spool": { "agent": "" } });
    // It begins where the collector's acknowledgements ended.
    let good = carried(&spool, &key, &[4, 5, 6], &key);
    let mut seqs = Vec::new();
    let (agent, found) = check_carried(good.as_slice(), |(lane, _)| seqs.push(lane.number())).unwrap();
    assert_eq!((agent, found.batches, seqs), (key.verifying_key().id(), 3, vec![1, 1, 1]));
    for at in (0..good.len()).step_by(31) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        check(bad.as_slice()).expect_err("a changed byte");
        check(&good[..at]).expect_err("a cut file");
    }
    let incident = json!({ "incident": "INC-1" });
    for (bad, why) in [
        (carried(&spool, &key, &[4, 6], &key), "the batch before it is missing"),
        (carried(&spool, &key, &[4, 5], &other), "the end is not signed by the agent"),
        (carried(&incident, &key, &[4, 5], &key), "this ends what is carried"),
        (carried(&json!({ "store": {} }), &key, &[4, 5], &key), "the batch before it is missing"),
        (resealed(lines(&good).into_iter().filter(|line| line["type"] != "carried")), "signed by its agent"),
    ] {
        let found = check(bad.as_slice()).unwrap_err().why;
        assert!(found.contains(why), "{found}, not {why}");
    }
    let evidence =
        resealed(std::iter::once(json!({ "type": "bundle", "format": FORMAT, "of": { "store": {} } })));
    assert!(check_carried(evidence.as_slice(), drop).is_err(), "evidence is not taken in");
}
