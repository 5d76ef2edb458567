//! Measures as text (OpenMetrics 1.0, which Prometheus reads). `docs/operations.md` lists them; a test compares both.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::measures::Measures;
use super::process;
use super::snapshot::Snapshot;
use crate::clock;

/// Two labels.
type Labels = [(&'static str, String); 2];

/// All of it.
pub(super) fn text(measures: &Measures, snapshot: &Snapshot) -> String {
    let mut registry = Registry::default();
    let own = registry.sub_registry_with_prefix("sekimori_collector");
    counted(own, measures);
    incidents(own, snapshot);
    outbox(own, snapshot);
    fleet(own, snapshot);
    store(own, snapshot);
    kernel(&mut registry, measures);
    let mut text = String::new();
    // Writing into a string does not fail.
    encode(&mut text, &registry).unwrap_or_default();
    text
}

/// One number.
fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge<i64, AtomicI64> = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn counted(registry: &mut Registry, measures: &Measures) {
    let m = measures;
    registry.register("ingest_rejected", "Whom the collector turned away, by reason", m.rejected.clone());
    registry.register("events", "What the store took in, by kind of event", m.events.clone());
    registry.register_with_unit("ingest", "Bodies of submissions that came", Unit::Bytes, m.bytes.clone());
    registry.register_with_unit(
        "ingest_answer",
        "Time from a submission's head to its answer, by answer",
        Unit::Seconds,
        m.answers.clone(),
    );
    registry.register("ingest_in_flight", "Submissions that are being looked at", m.in_flight.clone());
    registry.register("connections_open", "Connections that are open, by listener", m.open.clone());
    registry.register("connections", "Connections that came, by listener", m.connections.clone());
    let help = "Time that a group of submissions took to commit";
    registry.register_with_unit("store_commit", help, Unit::Seconds, m.commits.clone());
    registry.register(
        "store_group_submissions",
        "Submissions in a group that was committed",
        m.grouped.clone(),
    );
    registry.register("store_commit_failed", "Groups that the store did not take", m.commits_failed.clone());
    registry.register(
        "store_queue",
        "Submissions that waited when the writer was ready last",
        m.queue.clone(),
    );
    gauge(
        registry,
        "store_writer_rested_seconds",
        "For how long the writer was not ready for work",
        whole(m.writer_rested().as_secs()),
    );
}

fn incidents(registry: &mut Registry, snapshot: &Snapshot) {
    let family = Family::<Labels, Gauge>::default();
    for (state, level, count) in &snapshot.incidents {
        let labels = [("state", state.clone()), ("level", level.to_string())];
        family.get_or_create(&labels).set(*count);
    }
    registry.register("incidents", "Incidents that are no drills, by state and level", family);
    gauge(registry, "timers_waiting", "Rungs of timers that are due later", snapshot.timers_waiting);
    gauge(registry, "timers_late", "Rungs of timers that should have fired", snapshot.timers_late);
    gauge(
        registry,
        "limits_passed",
        "Limits that ran out while what they are about is not done",
        snapshot.limits_passed,
    );
    gauge(
        registry,
        "obligations_overdue",
        "Obligations whose last day is over, with nothing filed",
        snapshot.obligations_overdue,
    );
}

fn outbox(registry: &mut Registry, snapshot: &Snapshot) {
    let [queued, dead, aside] = [(); 3].map(|()| Family::<[(&'static str, String); 1], Gauge>::default());
    let [sent, failed] = [(); 2].map(|()| Family::<[(&'static str, String); 1], Counter>::default());
    for one in &snapshot.notices {
        let label = [("channel", one.channel.clone())];
        queued.get_or_create(&label).set(one.queued);
        dead.get_or_create(&label).set(one.dead);
        aside.get_or_create(&label).set(one.aside);
        sent.get_or_create(&label).inc_by(u64::try_from(one.sent).unwrap_or_default());
        let attempts = one.attempts.saturating_sub(one.sent);
        failed.get_or_create(&label).inc_by(u64::try_from(attempts).unwrap_or_default());
    }
    registry.register("notices_queued", "Notices that are not sent yet, by channel", queued);
    registry.register("notices_dead", "Notices that were given up and wait for a decision, by channel", dead);
    registry.register("notices_aside", "Notices that were given up and put aside, by channel", aside);
    registry.register("notices_sent", "Notices that left, by channel", sent);
    registry.register("notices_attempts_failed", "Attempts to send a notice that failed, by channel", failed);
    gauge(
        registry,
        "notices_oldest_seconds",
        "How long the oldest notice waits",
        whole(snapshot.notice_oldest_seconds),
    );
}

fn fleet(registry: &mut Registry, snapshot: &Snapshot) {
    let fleet = &snapshot.fleet;
    let family = Family::<[(&'static str, String); 1], Gauge>::default();
    for (standing, count) in [
        ("enrolled", fleet.enrolled),
        ("never_heard", fleet.never),
        ("silent", fleet.silent),
        ("degraded", fleet.degraded),
        ("certificate_soon", fleet.certificates_soon),
        ("certificate_over", fleet.certificates_over),
        ("held", fleet.held),
    ] {
        family.get_or_create(&[("standing", standing.to_owned())]).set(count);
    }
    registry.register("agents", "Agents by standing; one may have several", family);
    let now = clock::now();
    let left = Family::<[(&'static str, String); 1], Gauge>::default();
    for (what, until) in &snapshot.certificates {
        let seconds = whole(until.secs()).saturating_sub(whole(now.secs()));
        left.get_or_create(&[("of", (*what).to_owned())]).set(seconds);
    }
    let help = "Until the collector's own certificates end; negative when they are over";
    registry.register("certificate_left_seconds", help, left);
}

fn store(registry: &mut Registry, snapshot: &Snapshot) {
    let family = Family::<[(&'static str, String); 1], Gauge>::default();
    family.get_or_create(&[("kind", snapshot.store_kind.to_owned())]).set(whole(snapshot.store_bytes));
    registry.register("store_size_bytes", "What the store takes on disk", family);
    gauge(registry, "store_schema", "The newest change of the schema", snapshot.schema);
    gauge(registry, "replicas", "Collectors that run on the store", snapshot.collectors);
}

/// Under the names that every exporter uses.
fn kernel(registry: &mut Registry, measures: &Measures) {
    let own = process::read();
    let cpu: Counter<f64, AtomicU64> = Counter::default();
    cpu.inc_by(own.cpu_seconds);
    registry.register_with_unit("process_cpu", "Processor time of this process", Unit::Seconds, cpu);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory", own.resident_bytes),
        ("process_open_fds", "Open file descriptors", own.open_files),
        ("process_max_fds", "File descriptors that may be open", own.files_max),
        ("process_threads", "Threads", own.threads),
        ("process_start_time_seconds", "When it began to serve, since 1970", measures.started_at.secs()),
    ] {
        gauge(registry, name, help, whole(value));
    }
}
