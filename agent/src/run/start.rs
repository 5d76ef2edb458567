//! Starts the threads of one interface: those that capture, and the one that judges what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use sekimori_sensor::hosts::Hosts;
use sekimori_sensor::observe::{Observer, Options, Worker};
use sekimori_sensor::sensor::{Keep, SensorConfig, Stage};
use sekimori_wire::record::Record;
use tokio::sync::mpsc;

use super::capturing::Capturing;
use super::handing::{PARTS_MAX, ROOMS_MAX};
use super::judging::Judging;
use super::lanes::Lanes;
use super::team::{QUOTES_MAX, Team};
use super::{Opened, RunError, seed, spawn};
use crate::baseline::Drawer;
use crate::capture::CaptureError;
use crate::config::Config;
use crate::endpoint::{Place, Reading};
use crate::health::Gauge;
use crate::intel::shelf::Shelf;
use crate::outbox::Outbox;
use crate::watch::{Board, Watch};

/// What starting the threads of an interface takes.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) shelf: Arc<Shelf>,
    pub(super) user_key: [u8; 32],
    /// Which machine has which address: all interfaces and all sources of alerts together.
    pub(super) hosts: Arc<Hosts>,
    pub(super) stop: Arc<AtomicBool>,
    /// Interfaces that are still captured from.
    pub(super) there: Arc<AtomicUsize>,
    pub(super) failed: mpsc::Sender<RunError>,
    pub(super) to_sealing: Sender<Record>,
}

impl Start<'_> {
    /// Starts the capture threads of an interface, and the one behind them.
    pub(super) fn interface(
        &self,
        opened: Opened,
        gauge: Arc<Gauge>,
        drawer: Arc<Drawer>,
    ) -> Result<Vec<JoinHandle<()>>, RunError> {
        let Opened { interface, fanout, lives, recorder } = opened;
        let workers = lives.len();
        let lists = self.shelf.lists();
        let config = SensorConfig {
            limits: self.config.limits.clone(),
            segments: self.config.policy.clone(),
            seed: seed(),
            user_key: self.user_key,
            observe: Options::default(),
            keep: Keep::Nothing,
            intel: Arc::clone(&lists.intel),
            exceptions: lists.exceptions.clone(),
            mappings: Arc::clone(&self.config.mappings),
            hosts: Arc::clone(&self.hosts),
        };
        let limits = config.limits.share(workers);
        let observers: Vec<Observer> =
            (0..workers).map(|_| Observer::new(&limits, config.observe, config.seed)).collect();
        let mut stage = Stage::new(config);
        drawer.load(|file| stage.recall(file));
        let (stop, records) = (Arc::clone(&self.stop), recorder.is_some());
        let team = Arc::new(Team::new(fanout, Arc::clone(&self.shelf), gauge, records, stop));
        let (to_stage, parts) = bounded(PARTS_MAX);
        let (lanes, outbox) = (Lanes::new(workers), Outbox::new(self.to_sealing.clone()));
        let (spent, mut rooms): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(ROOMS_MAX)).unzip();
        let judging = Judging {
            team: Arc::clone(&team),
            seen: 0,
            parts,
            lanes,
            spent,
            stage,
            drawer,
            outbox,
            recorder,
        };
        let mut threads = vec![spawn(format!("judge-{interface}"), move || judging.run())?];
        let (to_each, mut from_each): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(QUOTES_MAX)).unzip();
        for (own, (live, observer)) in lives.into_iter().zip(observers).enumerate() {
            let to_others = if workers > 1 { to_each.clone() } else { Vec::new() };
            let thread = Capturing::new(
                (own, live),
                Worker::new(observer),
                Arc::clone(&team),
                (to_stage.clone(), rooms.remove(0)),
                (to_others, from_each.remove(0)),
            );
            let end = self.on_end(&team);
            threads.push(spawn(format!("cap-{own}-{interface}"), move || end(thread.run()))?);
        }
        Ok(threads)
    }

    /// Starts the thread that reads what endpoint products report.
    pub(super) fn intake(&self, reading: Reading) -> Result<JoinHandle<()>, RunError> {
        let place = Place {
            policy: self.config.policy.clone(),
            user_key: self.user_key,
            hosts: Arc::clone(&self.hosts),
        };
        let (to_sealing, stop) = (self.to_sealing.clone(), Arc::clone(&self.stop));
        spawn("intake".to_owned(), move || reading.run(&place, &to_sealing, &stop))
    }

    /// Starts the thread that watches servers, if any are named.
    pub(super) fn watch(&self, board: Arc<Board>) -> Result<Option<JoinHandle<()>>, RunError> {
        let watch =
            Watch::new(&self.config.watch, self.config.policy.clone(), Arc::clone(&self.shelf), board)
                .map_err(|cause| RunError::System { doing: "start the service watch", cause })?;
        let Some(watch) = watch else { return Ok(None) };
        let (to_sealing, stop) = (self.to_sealing.clone(), Arc::clone(&self.stop));
        spawn("watch".to_owned(), move || watch.run(to_sealing, &stop)).map(Some)
    }

    /// What follows when a capture thread ends: an interface that was removed ends the agent if it was the last.
    fn on_end(&self, team: &Arc<Team>) -> impl FnOnce(Result<(), CaptureError>) + Send + use<> {
        let (gauge, there, failed) = (Arc::clone(&team.gauge), Arc::clone(&self.there), self.failed.clone());
        move |ended| {
            let Err(error) = ended else { return };
            if matches!(error, CaptureError::Gone { .. }) {
                if !gauge.set_gone() {
                    return;
                }
                if there.fetch_sub(1, Ordering::AcqRel) > 1 {
                    return tracing::error!(
                        interface = gauge.interface,
                        "the interface was removed: capturing goes on with the others"
                    );
                }
            }
            // Whether it is the first to fail or not, the agent ends.
            drop(failed.try_send(error.into()));
        }
    }
}
