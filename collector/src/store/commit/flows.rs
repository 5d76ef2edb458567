//! The flows of a summary, many to a statement: there are dozens in each, and a statement costs far more than a row.

use std::borrow::Cow;
use std::sync::LazyLock;

use sekimori_wire::record::FlowSummary;

use super::{Origin, integer};
use crate::clock::stored;
use crate::query::address_key;
use crate::store::db::{self, AssertSqlSafe, Conn};
use crate::store::{StoreError, query};

const COLUMNS: usize = 21;
/// Rows of a statement on SQLite, most first: few different statements, so that each is prepared once, and by halves, so that few
/// make up any number. Each is handed to the connection's own thread and back, which costs more than dozens of rows.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// For each of these.
static STATEMENTS: LazyLock<[String; 7]> = LazyLock::new(|| ROWS.map(statement));

fn statement(rows: usize) -> String {
    let mut text =
        "INSERT INTO flows (body, community_id, originator, originator_port, responder, responder_port,
        protocol, start, \"end\", originator_packets, originator_bytes, responder_packets,
        responder_bytes, state, application, server_name, ja4, segment, agent, originator_key,
        responder_key) VALUES "
            .to_owned();
    for row in 0..rows {
        for column in 0..COLUMNS {
            let before = match (row, column) {
                (0, 0) => "(",
                (_, 0) => "), (",
                _ => ", ",
            };
            text.push_str(before);
            // Without a number: a placeholder that has one is looked for by its name among all of them, each time it is bound.
            text.push('?');
        }
    }
    text.push(')');
    text
}

/// On PostgreSQL: all of them, one array for each column. A statement there is a turn to the server and back, and one of as many
/// placeholders as values is dear to send and to plan.
const COLUMNS_AT_ONCE: &str = "INSERT INTO flows (body, agent, community_id, originator, originator_port, responder,
        responder_port, protocol, start, \"end\", originator_packets, originator_bytes, responder_packets, responder_bytes,
        state, application, server_name, ja4, segment, originator_key, responder_key)
    SELECT $1, $2, f.* FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::text[],
        $17::text[], $18::text[], $19::text[], $20::text[], $21::text[]) AS f";

/// Stores them all.
///
/// # Errors
/// If the store fails.
pub(in crate::store) async fn store(
    tx: &mut Conn,
    origin: &Origin,
    flows: &[FlowSummary],
) -> Result<(), StoreError> {
    if flows.is_empty() {
        return Ok(());
    }
    if tx.is_shared() {
        let insert = columns(origin, flows).execute(tx).await;
        return insert.map(drop).map_err(query("store flows"));
    }
    let mut rest = flows;
    for (rows, statement) in ROWS.iter().zip(STATEMENTS.iter()) {
        let chunks = rest.chunks_exact(*rows);
        rest = chunks.remainder();
        for chunk in chunks {
            let mut insert = db::query(AssertSqlSafe(statement.as_str()));
            for flow in chunk {
                insert = bind(insert, origin, flow);
            }
            insert.execute(&mut *tx).await.map_err(query("store flows"))?;
        }
    }
    Ok(())
}

fn bind<'q>(insert: db::Query<'q>, origin: &'q Origin, flow: &'q FlowSummary) -> db::Query<'q> {
    insert
        .bind(origin.body.as_str())
        .bind(flow.community_id())
        .bind(flow.originator.ip().to_string())
        .bind(flow.originator.port())
        .bind(flow.responder.ip().to_string())
        .bind(flow.responder.port())
        .bind(flow.protocol)
        .bind(stored(flow.start))
        .bind(stored(flow.end))
        .bind(integer(flow.originator_packets))
        .bind(integer(flow.originator_bytes))
        .bind(integer(flow.responder_packets))
        .bind(integer(flow.responder_bytes))
        .bind(flow.state.as_str())
        .bind(flow.application.as_str())
        .bind(flow.server_name.as_str())
        .bind(flow.ja4.as_str())
        .bind(flow.segment.as_deref())
        .bind(&origin.agent)
        .bind(address_key(flow.originator.ip()))
        .bind(address_key(flow.responder.ip()))
}

fn columns<'q>(origin: &'q Origin, flows: &'q [FlowSummary]) -> db::Query<'q> {
    type Text = fn(&FlowSummary) -> Cow<'_, str>;
    let texts = |of: Text| flows.iter().map(|flow| Some(of(flow))).collect();
    let numbers = |of: fn(&FlowSummary) -> i64| flows.iter().map(of).collect();
    db::query(COLUMNS_AT_ONCE)
        .bind(origin.body.as_str())
        .bind(&origin.agent)
        .bind_texts(texts(|flow| flow.community_id().into()))
        .bind_texts(texts(|flow| flow.originator.ip().to_string().into()))
        .bind_ints(numbers(|flow| flow.originator.port().into()))
        .bind_texts(texts(|flow| flow.responder.ip().to_string().into()))
        .bind_ints(numbers(|flow| flow.responder.port().into()))
        .bind_ints(numbers(|flow| flow.protocol.into()))
        .bind_ints(numbers(|flow| stored(flow.start)))
        .bind_ints(numbers(|flow| stored(flow.end)))
        .bind_ints(numbers(|flow| integer(flow.originator_packets)))
        .bind_ints(numbers(|flow| integer(flow.originator_bytes)))
        .bind_ints(numbers(|flow| integer(flow.responder_packets)))
        .bind_ints(numbers(|flow| integer(flow.responder_bytes)))
        .bind_texts(texts(|flow| flow.state.as_str().into()))
        .bind_texts(texts(|flow| flow.application.as_str().into()))
        .bind_texts(texts(|flow| flow.server_name.as_str().into()))
        .bind_texts(texts(|flow| flow.ja4.as_str().into()))
        .bind_texts(flows.iter().map(|flow| flow.segment.as_deref().map(Cow::Borrowed)).collect())
        .bind_texts(texts(|flow| address_key(flow.originator.ip()).into()))
        .bind_texts(texts(|flow| address_key(flow.responder.ip()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Place, Store, conformance};
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
            super::store(&mut tx, &origin, &flows).await.unwrap();
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
