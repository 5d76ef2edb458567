//! Labels, manifests and figures.

use std::path::Path;

use super::label::{Labels, hosts};
use super::manifest::{Kind, ManifestError, parse};
use super::score::Figures;

#[test]
fn every_label_of_the_table_names_a_category() {
    let labels = Labels::own().unwrap();
    for label in ["port_scan_udp", "syn_flood", "c2_rat_tls", "worm_smb_exploit", "tls_obsolete", "dga"] {
        assert!(labels.categories(label).len() >= 2, "{label}: its own category and indicators");
    }
    assert_eq!(labels.categories("worm_smb_exploit").len(), 3);
    assert_eq!(labels.categories("nonsense").len(), 1, "indicators may be about anything");
}

#[test]
fn addresses_are_found_in_what_people_write() {
    let shown = |text: &str| hosts(text).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown("10.0.1.5 (victim)"), ["10.0.1.5"]);
    assert_eq!(shown("192.168.0.4:443"), ["192.168.0.4"]);
    assert_eq!(shown("24.199.110.233:443/udp"), ["24.199.110.233"]);
    assert_eq!(shown("172.16.0.105 (00:25:b3:bf:91:ee)"), ["172.16.0.105", "00:25:b3:bf:91:ee"]);
    assert_eq!(shown("2001:db8:1:0:306e:739d:dea6:99a4"), ["2001:db8:1:0:306e:739d:dea6:99a4"]);
    assert_eq!(shown("10.0.0.1,10.0.0.254 (+1)"), ["10.0.0.1", "10.0.0.254"]);
    assert_eq!(shown("204 random MACs"), [""; 0]);
    assert_eq!(shown("(on-path)"), [""; 0]);
    assert_eq!(shown("172.16.238.10 -> LDAP 172.16.238.11:1389"), ["172.16.238.10", "172.16.238.11"]);
}

#[test]
fn a_manifest_is_read_by_its_header() {
    let text = "kind\tpath\tvictim\tattacker\texpected\tnote\n\
        attack\ta.pcap\t10.0.0.2\t10.0.0.1\tdga\tx\n\
        protocol\tb.pcap\t\t\t\t\n\
        benign\tc.pcap\t\t\tbenign\t\n";
    let entries = parse(text, Path::new("m.tsv"), None).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].kind, entries[0].attacker.as_str()), (Kind::Attack, "10.0.0.1"));
    assert!(entries[1].is_counted());
    assert_eq!(parse(text, Path::new("m.tsv"), Some("c.")).unwrap().len(), 1);
    let error = parse("path\tkind\n", Path::new("m.tsv"), None).unwrap_err();
    assert!(matches!(error, ManifestError::Column { column: "expected", .. }), "{error}");
    assert_eq!(error.to_string(), "m.tsv: no column `expected` in the first line (tab-separated names)");
}

#[test]
fn figures_are_those_of_the_field() {
    let figures = Figures { labels: 10, found: 8, false_findings: 2 };
    assert_eq!((figures.recall(), figures.precision()), (Some(0.8), Some(0.8)));
    assert!((figures.f1().unwrap() - 0.8).abs() < 1e-9);
    assert_eq!(Figures::default().recall(), None);
}
