//! The flows of summaries, many to a statement: there are dozens in each.

use sekimori_wire::record::FlowSummary;

use super::{Origin, integer};
use crate::clock::stored;
use crate::query::address_key;
use crate::store::db::{Bulk, Conn, Kind, Value};
use crate::store::{StoreError, query};

static FLOWS: Bulk<21> = Bulk::new(
    "INSERT INTO flows (body, community_id, originator, originator_port, responder, responder_port, protocol, start, \"end\",
        originator_packets, originator_bytes, responder_packets, responder_bytes, state, application, server_name, ja4,
        segment, agent, originator_key, responder_key) {rows}",
    [
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Int,
        Kind::Text,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Int,
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Text,
        Kind::Text,
    ],
);

/// Stores them all.
///
/// # Errors
/// If the store fails.
pub(in crate::store) async fn store<'q>(
    tx: &mut Conn,
    of: impl Iterator<Item = (&'q Origin, &'q [FlowSummary])>,
) -> Result<(), StoreError> {
    let rows = of.flat_map(|(origin, flows)| flows.iter().map(move |flow| row(origin, flow))).collect();
    FLOWS.execute(tx, rows).await.map_err(query("store flows"))
}

fn row<'q>(origin: &'q Origin, flow: &'q FlowSummary) -> [Value<'q>; 21] {
    [
        origin.body.as_str().into(),
        flow.community_id().into(),
        flow.originator.ip().to_string().into(),
        flow.originator.port().into(),
        flow.responder.ip().to_string().into(),
        flow.responder.port().into(),
        flow.protocol.into(),
        stored(flow.start).into(),
        stored(flow.end).into(),
        integer(flow.originator_packets).into(),
        integer(flow.originator_bytes).into(),
        integer(flow.responder_packets).into(),
        integer(flow.responder_bytes).into(),
        flow.state.as_str().into(),
        flow.application.as_str().into(),
        flow.server_name.as_str().into(),
        flow.ja4.as_str().into(),
        flow.segment.as_deref().into(),
        (&origin.agent).into(),
        address_key(flow.originator.ip()).into(),
        address_key(flow.responder.ip()).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Place, Store, conformance, db};
    use sekimori_wire::batch::Lane;
    use sekimori_wire::time::Timestamp;

    fn flow(number: u16) -> FlowSummary {
        let address = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
        FlowSummary {
            originator: address(number),
            responder: address(443),
            protocol: 6,
            start: Timestamp::from_secs(1),
            end: Timestamp::from_secs(2),
            originator_packets: 1,
            originator_bytes: u64::from(number) * 10,
            responder_packets: 2,
            responder_bytes: 3,
            state: "SF".into(),
            application: "tls".into(),
            server_name: format!("host{number}.example").as_str().into(),
            ja4: "".into(),
            vlan: None,
            body: None,
            segment: None,
        }
    }

    #[tokio::test]
    async fn every_flow_is_a_row_however_many_there_are() {
        for (_dir, place, store) in conformance::each().await {
            stores_each_once(&store, &place).await;
        }
    }

    async fn stores_each_once(store: &Store, place: &Place) {
        let mut expected = Vec::new();
        for count in [0, 1, 7, 8, 31, 32, 33, 75, 127, 212] {
            let mode = "live";
            let agent = format!("{count}");
            let origin =
                Origin { agent, body: "422011".parse().unwrap(), lane: Lane::Detail, epoch: 1, seq: 1, mode };
            let flows: Vec<FlowSummary> = (0..count).map(flow).collect();
            let mut tx = store.begin().await.unwrap();
            super::store(&mut tx, std::iter::once((&origin, flows.as_slice()))).await.unwrap();
            tx.commit().await.unwrap();
            expected.extend(flows.iter().map(|flow| {
                let port = i64::from(flow.originator.port());
                (origin.agent.clone(), port, port * 10, flow.server_name.to_string(), flow.community_id())
            }));
        }
        let stored: Vec<(String, i64, i64, String, String)> = db::query_as(
            "SELECT agent, originator_port, originator_bytes, server_name, community_id FROM flows ORDER BY n",
        )
        .fetch_all(store.reader())
        .await
        .unwrap();
        assert_eq!(stored, expected, "{place}");
    }
}
