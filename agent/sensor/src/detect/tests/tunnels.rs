//! DNS tunnels, and names that carry data in good faith.

use sekimori_wire::finding::Category;

use super::build::*;

const IN: &str = "192.168.1.5";

#[test]
fn long_names_and_data_types_are_a_tunnel() {
    for (qtype, len) in [(1, 50), (16, 20), (10, 60)] {
        let mut script = Script::default();
        for n in 0..300 {
            script.dns(n * 1_000, IN, &format!("{}.t.example.com", letters(n, len)), qtype, (0, 30));
        }
        let finding = script.only(Category::DnsTunnel);
        assert_eq!((finding.originator, finding.responder, finding.count), (host(IN), None, 300));
        assert_eq!(finding.targets.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["example.com"]);
    }
}

#[test]
fn ordinary_look_ups_are_no_tunnel() {
    let mut script = Script::default();
    for n in 0..2_000 {
        let ms = n * 500;
        // A content network: many short names, few of them new, addresses only.
        script.dns(ms, IN, &format!("r{}---sn-{}.cdn.example.net", n % 9, letters(n % 150, 6)), 1, (0, 16));
        // An antivirus product and a block list.
        script.dns(ms, IN, &format!("0.0.1.{}.avqs.mcafee.com", letters(n, 26)), 1, (0, 4));
        script.dns(ms, IN, &format!("{}.{}.113.203.bl.example.org", n % 250, n % 7), 16, (0, 60));
        // Reverse look-ups and neighbours.
        script.dns(ms, IN, &format!("{}.2.168.192.in-addr.arpa", n % 250), 12, (0, 30));
        script.dns(ms, IN, &format!("{}._tcp.local", letters(n, 40)), 16, (0, 30));
        // One name over and over, long as it is.
        script.dns(ms, IN, &format!("{}.update.example.jp", letters(1, 60)), 16, (0, 200));
    }
    script.quiet();
}

#[test]
fn a_list_that_is_asked_by_name_is_only_noted() {
    let asked = |answer: [u8; 4]| {
        let mut script = Script::default();
        for n in 0..300 {
            let name = format!("{}.files.example.com", letters(n, 32));
            if n % 10 == 0 {
                script.dns_address(n * 9_000, IN, &name, answer);
            } else {
                script.dns(n * 9_000, IN, &name, 1, (3, 0));
            }
        }
        script.only(Category::DnsTunnel).severity.level()
    };
    assert_eq!(asked([127, 0, 0, 2]), 1);
    assert_eq!(asked([198, 51, 100, 2]), 3);
}
