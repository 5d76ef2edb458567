//! Composes all: frames, alerts and time in, records out. Nothing here fails.
//!
//! [`Sensor`] is one observer and the stage behind it. Several observers (see [`Worker`](crate::observe::Worker)) share one
//! [`Stage`], which cannot tell how many there were.

use core::net::IpAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use sekimori_wire::alert::{EndpointAlert, Intake};
use sekimori_wire::exception::Exceptions;
use sekimori_wire::id::Host;
use sekimori_wire::record::{FlowSummary, Record};
use sekimori_wire::time::Timestamp;

use crate::alert::{self, Mappings};
use crate::baseline::BaselineError;
use crate::counters::{Counter, Counters};
use crate::detect::{Detectors, Findings, Setup, domain_of};
use crate::event::{Event, FlowEvent, FlowRecord};
use crate::frame::Frame;
use crate::hosts::Hosts;
use crate::intel::Intel;
use crate::limits::Limits;
use crate::observe::{EVENTS_KEPT, Observer, Options, Placed};
use crate::segment::Policy;
use crate::summarize::{EndedFlow, Summarizer};

/// What a sensor is made from.
#[derive(Clone, Debug)]
pub struct SensorConfig {
    /// Every bound.
    pub limits: Limits,
    /// The networks around it.
    pub segments: Policy,
    /// Keys the hashes. Never changes what is found.
    pub seed: u64,
    /// Key of the hashes that stand for user names.
    pub user_key: [u8; 32],
    /// How packets are looked at.
    pub observe: Options,
    /// What to keep for whoever asks, beside the records.
    pub keep: Keep,
    /// What is known to be malicious; several sensors share it.
    pub intel: Arc<Intel>,
    /// What somebody decided to accept.
    pub exceptions: Exceptions,
    /// What the messages of endpoint products mean.
    pub mappings: Arc<Mappings>,
    /// Which machine has which address; several sensors share it.
    pub hosts: Arc<Hosts>,
}

/// Batches of events after which the counter of dropped states is brought up to date.
const COUNT_EVERY: u32 = 1_024;

/// What to keep beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Every ended flow, for [`Sensor::poll_flow`].
    Flows,
    /// Every event, for [`Sensor::poll_event`].
    Events,
}

/// Frames and time in, records out.
#[derive(Debug)]
pub struct Sensor {
    observer: Observer,
    stage: Stage,
    /// Reused for each frame.
    events: Vec<Event>,
}

/// What comes after observing: events in, records out.
#[derive(Debug)]
pub struct Stage {
    detectors: Detectors,
    findings: Findings,
    summarizer: Summarizer,
    policy: Policy,
    mappings: Arc<Mappings>,
    hosts: Arc<Hosts>,
    user_key: [u8; 32],
    records: VecDeque<Record>,
    flows: VecDeque<FlowSummary>,
    /// Kept for whoever asks.
    kept: VecDeque<Event>,
    keep: Keep,
    pending_max: usize,
    counters: Counters,
    /// Overloaded: ended flows are counted in summaries, and not listed.
    outline: bool,
    /// Batches of events since the detectors were asked for what they dropped.
    uncounted: u32,
    /// The latest time seen, of frames, alerts and timeouts.
    now: Timestamp,
}

impl Sensor {
    /// A sensor that has seen nothing.
    pub fn new(config: SensorConfig) -> Self {
        let observer = Observer::new(&config.limits, config.observe, config.seed);
        Self { observer, stage: Stage::new(config), events: Vec::new() }
    }

    /// One captured frame.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        while self.observer.expire_some(frame.at, &mut self.events) {
            // As if all had come with this frame: in its window.
            self.stage.reach(frame.at);
            self.show();
        }
        self.observer.handle_frame(frame, &mut self.events);
        self.stage.handle_frame(self.observer.now(), frame.wire_len);
        self.stage.take_events(&mut self.events);
    }

    /// Shows the stage what was observed.
    fn show(&mut self) {
        self.stage.take_events(&mut self.events);
        self.events.shrink_to(EVENTS_KEPT);
    }

    /// One syslog line from the agent's own listener.
    pub fn handle_alert(&mut self, received_at: Timestamp, from: IpAddr, line: &[u8]) {
        self.stage.handle_alert(received_at, from, line);
    }

    /// The link is silent and it is now `now`: ends flows and windows, never changes a finding.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while self.observer.expire_some(now, &mut self.events) {
            self.show();
        }
        self.observer.handle_timeout(now, &mut self.events);
        self.show();
        self.stage.handle_timeout(now);
    }

    /// How the capture went since the last call: more than 1 % dropped marks findings that begin or grow from now on,
    /// until a call says otherwise.
    pub const fn note_loss(&mut self, dropped: u64, received: u64) {
        self.stage.note_loss(dropped, received);
    }

    /// See [`Stage::replace`].
    pub fn replace(&mut self, intel: Arc<Intel>, exceptions: Exceptions) {
        self.stage.replace(intel, exceptions);
    }

    /// The next record: each window's summary, each revision of a finding, each endpoint alert.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.stage.poll_record()
    }

    /// The next ended flow; only with [`Keep::Flows`].
    pub fn poll_flow(&mut self) -> Option<FlowSummary> {
        self.stage.poll_flow()
    }

    /// The next event; only with [`Keep::Events`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.stage.poll_event()
    }

    /// The capture ended: all flows end, all findings and the window are closed.
    pub fn finish(&mut self) {
        let over = self.observer.over();
        while self.observer.expire_some(over, &mut self.events) {
            self.show();
        }
        let mut ending = self.observer.begin_to_end(over, &mut self.events);
        let mut more = true;
        while more {
            self.show();
            more = self.observer.end_some(&mut ending, &mut self.events);
        }
        self.show();
        self.stage.finish();
    }

    /// What comes after observing.
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The observer's counters and its own.
    pub fn counters(&self) -> Counters {
        let mut all = self.stage.counters();
        all.merge(self.observer.counters());
        all
    }

    /// Findings that each exception came to cover, by its id.
    pub fn iter_excepted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.stage.iter_excepted()
    }

    /// See [`Stage::learned`].
    pub fn learned(&self) -> Vec<u8> {
        self.stage.learned()
    }

    /// See [`Stage::recall`].
    pub fn recall(&mut self, file: &[u8]) -> Result<(), BaselineError> {
        self.stage.recall(file)
    }

    /// The latest time seen.
    pub const fn now(&self) -> Timestamp {
        self.stage.now
    }
}

impl Stage {
    /// Has seen nothing.
    pub fn new(config: SensorConfig) -> Self {
        let SensorConfig {
            limits,
            segments,
            seed,
            user_key,
            observe: _,
            keep,
            intel,
            exceptions,
            mappings,
            hosts,
        } = config;
        let mut detectors = Detectors::new(&Setup { limits: &limits, seed, user_key: &user_key });
        detectors.set_intel(intel);
        let mut findings = Findings::new(&limits, seed);
        findings.set_exceptions(exceptions);
        Self {
            detectors,
            findings,
            summarizer: Summarizer::new(&limits, seed),
            policy: segments,
            mappings,
            hosts,
            user_key,
            records: VecDeque::new(),
            flows: VecDeque::new(),
            kept: VecDeque::new(),
            keep,
            pending_max: limits.pending_records.max(1),
            counters: Counters::default(),
            outline: false,
            uncounted: 0,
            now: Timestamp::ZERO,
        }
    }

    /// What is known to be malicious and what is accepted, from now on. Nothing that was learned or found is lost.
    pub fn replace(&mut self, intel: Arc<Intel>, exceptions: Exceptions) {
        self.detectors.set_intel(intel);
        self.findings.set_exceptions(exceptions);
    }

    /// Under overload, summaries lose their detail first: flows that end are counted (`overload.flows_shed`), not listed.
    pub const fn set_outline(&mut self, outline: bool) {
        self.outline = outline;
    }

    /// A frame was captured, of so many bytes on the wire; its events follow.
    pub fn handle_frame(&mut self, now: Timestamp, wire_len: u32) {
        self.roll(now);
        self.summarizer.on_frame(self.now, wire_len);
    }

    /// Several frames were captured, all in one second from `at` on; their events follow.
    pub fn handle_frames(&mut self, at: Timestamp, packets: u64, bytes: u64) {
        self.roll(at);
        self.summarizer.on_frames(self.now, packets, bytes);
    }

    /// See [`Sensor::handle_alert`].
    pub fn handle_alert(&mut self, received_at: Timestamp, from: IpAddr, line: &[u8]) {
        self.normalise(received_at, from, Intake::Listener, line);
    }

    /// The observers have reached this time: closes the window that it left, never changes a finding.
    pub fn reach(&mut self, now: Timestamp) {
        self.roll(now);
    }

    /// See [`Sensor::note_loss`].
    pub const fn note_loss(&mut self, dropped: u64, received: u64) {
        let total = dropped.saturating_add(received);
        self.findings.set_degraded(dropped.saturating_mul(100) > total);
    }

    /// Events, in order.
    pub fn handle_events(&mut self, events: impl Iterator<Item = Event>) {
        let mut any = false;
        for event in events {
            any = true;
            self.handle_event(&event);
            if self.keep == Keep::Events {
                self.keep_event(event);
            }
        }
        if any {
            self.count_batch();
        }
    }

    /// The same events from a list, which is empty then: they need not be moved to be looked at, and nobody needs the names
    /// of a flow that ended after that.
    fn take_events(&mut self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        if self.keep == Keep::Events {
            return self.handle_events(events.drain(..));
        }
        for event in &mut *events {
            self.look_at(event);
            if let Event::Flow { flow, what: FlowEvent::Ended(record), .. } = event
                && !self.is_outlined(record)
            {
                self.take_ended(EndedFlow::taken_from(flow, record));
            }
        }
        events.clear();
        self.count_batch();
    }

    /// The same events, for whoever wants them back: memory is given back cheapest by the thread that took it.
    pub fn handle_placed(&mut self, events: &[Placed]) {
        for Placed { event, .. } in events {
            self.handle_event(event);
            if self.keep == Keep::Events {
                self.keep_event(event.clone());
            }
        }
        if !events.is_empty() {
            self.count_batch();
        }
    }

    fn keep_event(&mut self, event: Event) {
        self.kept.push_back(event);
        if self.kept.len() > self.pending_max {
            self.kept.pop_front();
            self.counters.count(Counter::RecordsShed);
        }
    }

    /// Most frames say nothing new, and only events make a table overflow. All detectors are asked, so not each time.
    fn count_batch(&mut self) {
        self.uncounted += 1;
        if self.uncounted >= COUNT_EVERY {
            self.count_evicted();
        }
    }

    fn count_evicted(&mut self) {
        self.uncounted = 0;
        self.detectors.count_evicted(&mut self.counters);
        self.counters.add(Counter::FindingsEvicted, self.findings.take_evicted());
    }

    /// It is now `now`, and all events before it were given.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.count_evicted();
        self.roll(now);
    }

    /// See [`Sensor::poll_record`].
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// See [`Sensor::poll_flow`].
    pub fn poll_flow(&mut self) -> Option<FlowSummary> {
        self.flows.pop_front()
    }

    /// See [`Sensor::poll_event`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.kept.pop_front()
    }

    /// No more events: all findings and the window are closed.
    pub fn finish(&mut self) {
        self.detectors.finish(&self.policy, &mut self.findings);
        self.findings.finish();
        self.count_evicted();
        self.take_findings();
        self.close_window();
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let mut all = self.counters.clone();
        all.merge(self.summarizer.counters());
        let ripeness = self.detectors.ripeness();
        all.add(Counter::BaselineSeries, ripeness.series);
        all.add(Counter::BaselineRipe, ripeness.ripe);
        all
    }

    /// What was learned so far, as a file for a later [`Stage::recall`].
    pub fn learned(&self) -> Vec<u8> {
        self.detectors.learned()
    }

    /// Takes over what an earlier run learned; meant for the beginning. What cannot be used is counted, and learning begins
    /// anew: that is no reason to stop.
    pub fn recall(&mut self, file: &[u8]) -> Result<(), BaselineError> {
        let recalled = self.detectors.recall(file);
        if recalled.is_err() {
            self.counters.count(Counter::BaselineRefused);
        }
        recalled
    }

    /// See [`Sensor::iter_excepted`].
    pub fn iter_excepted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.findings.iter_excepted()
    }

    /// The latest time seen.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    fn handle_event(&mut self, event: &Event) {
        self.look_at(event);
        if let Event::Flow { flow, what: FlowEvent::Ended(record), .. } = event
            && !self.is_outlined(record)
        {
            self.take_ended(EndedFlow::new(flow, record));
        }
    }

    /// All that is done with an event but listing the flow that ended with it.
    fn look_at(&mut self, event: &Event) {
        self.roll(event.at());
        self.findings.on_time(event.at());
        self.hosts.learn(event, &self.policy);
        let domain = domain_of(event);
        self.detectors.on_named(event, domain, &self.policy, &mut self.findings);
        if self.findings.has_ready() {
            self.take_findings();
        }
        self.summarizer.on_event(self.now, event, domain.map(|domain| domain.name));
        let Event::Flow { at, flow, what } = event else { return };
        if let FlowEvent::Syslog(line) = what {
            self.normalise(*at, flow.originator.address, Intake::Capture, line);
        }
    }

    /// There is no time for the details of the flow that ended: it was only counted.
    fn is_outlined(&mut self, record: &FlowRecord) -> bool {
        let is_outlined = self.outline && self.keep == Keep::Nothing;
        if is_outlined {
            self.summarizer.on_flow_outline(record);
        }
        is_outlined
    }

    fn take_ended(&mut self, ended: EndedFlow) {
        if self.keep == Keep::Flows {
            self.flows.push_back(ended.summary(&self.policy));
            if self.flows.len() > self.pending_max {
                self.flows.pop_front();
                self.counters.count(Counter::RecordsShed);
            }
        }
        self.summarizer.on_flow(ended, &self.findings);
    }

    fn normalise(&mut self, received_at: Timestamp, from: IpAddr, intake: Intake, line: &[u8]) {
        self.roll(received_at);
        let text = String::from_utf8_lossy(line);
        let line = alert::Line {
            raw: line,
            text: &text,
            received_at,
            intake,
            from: Some(from),
            place: None,
            zone: alert::Zone::default(),
            user_key: &self.user_key,
        };
        match alert::normalise(&line, &self.mappings) {
            Ok(mut alert) => {
                self.counters.count(Counter::Alerts);
                self.hosts.join(&mut alert);
                self.place(&mut alert, from);
                self.push(Record::EndpointAlert(Box::new(alert)));
            }
            Err(reason) => self.counters.count(reason.counter()),
        }
    }

    /// Body and segment of the endpoint; of the sender where the alert names none.
    fn place(&self, alert: &mut EndpointAlert, from: IpAddr) {
        let address = match alert.host {
            Some(Host::Ip(address)) => address,
            Some(Host::Mac(_)) | None => from,
        };
        let place = self.policy.place(address, None);
        alert.body = place.body;
        alert.segment = place.segment.map(|segment| segment.as_str().into());
    }

    /// Time went on: closes the window that it left.
    fn roll(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.summarizer.is_past(self.now) {
            self.close_window();
        }
    }

    fn close_window(&mut self) {
        if let Some(summary) = self.summarizer.close(&self.findings, &self.policy) {
            self.push(Record::Summary(Box::new(summary)));
        }
    }

    fn take_findings(&mut self) {
        for finding in self.findings.take_ready() {
            self.push(Record::Finding(Box::new(finding)));
        }
    }

    fn push(&mut self, record: Record) {
        self.records.push_back(record);
        if self.records.len() > self.pending_max {
            self.records.pop_front();
            self.counters.count(Counter::RecordsShed);
        }
    }
}

#[cfg(test)]
mod tests;
