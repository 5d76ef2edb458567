//! The parts together, on frames and lines.

use sekimori_wire::alert::AlertClass;

use super::*;
use crate::frame::LinkType;

fn sensor(policy: Policy) -> Sensor {
    Sensor::new(SensorConfig {
        limits: Limits::gateway(),
        segments: policy,
        seed: 1,
        user_key: [1; 32],
        observe: Options::default(),
        keep: Keep::Flows,
        intel: Arc::default(),
        exceptions: Exceptions::default(),
        mappings: alert::tests::built_in(),
        hosts: Arc::default(),
    })
}

/// A UDP datagram in raw IPv4; checksums are left zero, as captures of a sending host have them.
fn datagram(from: [u8; 4], to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(28 + payload.len()).unwrap().to_be_bytes();
    let udp_len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let [high, low] = port.to_be_bytes();
    let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(from);
    packet.extend(to);
    packet.extend([0xc0, 0, high, low, udp_len[0], udp_len[1], 0, 0]);
    packet.extend(payload);
    packet
}

fn show(sensor: &mut Sensor, at: Timestamp, bytes: &[u8]) {
    let wire_len = u32::try_from(bytes.len()).unwrap();
    sensor.handle_frame(&Frame { at, link: LinkType::RawIp, bytes, wire_len, vlan: None });
}

fn taken(sensor: &mut Sensor) -> Vec<Record> {
    std::iter::from_fn(|| sensor.poll_record()).collect()
}

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

#[test]
fn an_alert_seen_in_a_packet_and_one_received_are_both_told() {
    let policy = r#"{"body": [{"code": "422011"}], "segment": [{"name": "lgwan", "cidr": ["10.1.0.0/16"]}]}"#;
    let policy = Policy::from_file(serde_json::from_str(policy).unwrap()).unwrap();
    let mut sensor = sensor(policy);
    let line = b"<132>CEF:0|Maker|EDR|1|7|Malware found|8|dst=10.1.2.3 duser=taro";
    show(&mut sensor, START, &datagram([10, 1, 2, 3], [10, 1, 0, 9], 514, line));
    sensor.handle_alert(
        START,
        IpAddr::from([10, 1, 2, 4]),
        b"<132>CEF:0|Maker|EDR|1|7|Virus found|8|act=blocked",
    );
    sensor.handle_alert(START, IpAddr::from([10, 1, 2, 4]), b"<13>nothing of note");
    let alerts: Vec<EndpointAlert> = taken(&mut sensor)
        .into_iter()
        .filter_map(|record| match record {
            Record::EndpointAlert(alert) => Some(*alert),
            Record::Summary(_) | Record::Finding(_) | Record::Health(_) | Record::Gap(_) => None,
        })
        .collect();
    let told: Vec<_> = alerts.iter().map(|alert| (alert.intake, alert.class)).collect();
    assert_eq!(told, [(Intake::Capture, AlertClass::Malware), (Intake::Listener, AlertClass::Malware)]);
    assert!(alerts.iter().all(|alert| alert.segment.as_deref() == Some("lgwan") && alert.body.is_some()));
    assert_eq!(sensor.counters().value(Counter::AlertNoPhrase), 1);
    assert_eq!(sensor.counters().value(Counter::Alerts), 2);
}

#[test]
fn windows_close_as_time_goes_on_and_flows_end_at_the_latest_at_the_end() {
    let mut sensor = sensor(Policy::default_private());
    for second in 0..25 {
        let packet = datagram([10, 0, 0, 1], [192, 0, 2, 1], 9_999, b"x");
        show(&mut sensor, START.plus(std::time::Duration::from_secs(second)), &packet);
    }
    assert_eq!(taken(&mut sensor).len(), 2);
    sensor.handle_timeout(START.plus(std::time::Duration::from_secs(31)));
    assert_eq!(taken(&mut sensor).len(), 1);
    assert!(sensor.poll_flow().is_none());
    sensor.finish();
    let flow = sensor.poll_flow().unwrap();
    assert_eq!((flow.originator_packets, sensor.poll_flow()), (25, None));
    assert_eq!(sensor.now(), START.plus(std::time::Duration::from_secs(31)));
}

#[test]
fn loss_marks_findings() {
    for (dropped, expect) in [(0, false), (1, false), (2, true)] {
        let mut sensor = sensor(Policy::default_private());
        sensor.note_loss(dropped, 99);
        for port in 1_000..1_200 {
            show(&mut sensor, START, &datagram([10, 0, 0, 1], [10, 0, 0, 2], port, b"x"));
        }
        sensor.finish();
        let marked: Vec<bool> = taken(&mut sensor)
            .iter()
            .filter_map(|record| match record {
                Record::Finding(finding) => Some(finding.degraded),
                Record::Summary(_) | Record::EndpointAlert(_) | Record::Health(_) | Record::Gap(_) => None,
            })
            .collect();
        assert!(!marked.is_empty() && marked.iter().all(|one| *one == expect), "{dropped}: {marked:?}");
    }
}

#[test]
fn what_nobody_takes_is_shed_and_counted() {
    let mut config = SensorConfig {
        limits: Limits::gateway(),
        segments: Policy::default_private(),
        seed: 1,
        user_key: [1; 32],
        observe: Options::default(),
        keep: Keep::Nothing,
        intel: Arc::default(),
        exceptions: Exceptions::default(),
        mappings: alert::tests::built_in(),
        hosts: Arc::default(),
    };
    config.limits.pending_records = 3;
    let mut sensor = Sensor::new(config);
    for n in 0..5 {
        let line = format!("CEF:0|v|p|1|id|virus|{n}|");
        sensor.handle_alert(START, IpAddr::from([10, 0, 0, 1]), line.as_bytes());
    }
    assert_eq!(taken(&mut sensor).len(), 3);
    assert_eq!(sensor.counters().value(Counter::RecordsShed), 2);
}
