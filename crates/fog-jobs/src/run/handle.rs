//! Steers a run while it lasts.

use std::sync::Arc;
use tokio::sync::watch;

/// What the owner of a handle wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control {
    /// Thousandths of one core; 0 pauses.
    pub(crate) share: u32,
    /// How many checkpoints were asked for so far.
    pub(crate) checkpoints: u32,
    /// Take a checkpoint and end.
    pub(crate) preempt: bool,
    /// Kill it.
    pub(crate) cancelled: bool,
}

/// Steers a run while it lasts. Clones steer the same run.
#[derive(Debug, Clone)]
pub struct RunHandle {
    control: Arc<watch::Sender<Control>>,
}

impl RunHandle {
    /// A handle for a run that starts with this share of one core, 0 to 1.
    pub fn new(cpu_share: f64) -> Self {
        let control =
            Control { share: permille(cpu_share), checkpoints: 0, preempt: false, cancelled: false };
        Self { control: Arc::new(watch::Sender::new(control)) }
    }

    /// Changes the share of one core, 0 to 1. At 0 the run pauses, within some hundredths of a second, without losing
    /// anything.
    pub fn set_share(&self, cpu_share: f64) {
        self.control.send_if_modified(|control| {
            let share = permille(cpu_share);
            let changed = control.share != share;
            control.share = share;
            changed
        });
    }

    /// Takes a checkpoint soon and goes on. It is reported as [`super::RunEvent::Checkpoint`]; a program that cannot
    /// move says so as [`super::RunEvent::Note`]. A paused run takes it as well.
    pub fn checkpoint(&self) {
        self.control.send_modify(|control| control.checkpoints = control.checkpoints.wrapping_add(1));
    }

    /// Takes a checkpoint and ends the run in [`super::RunError::Preempted`], without one if the program cannot move or
    /// does not come to a point where it could within some seconds. A paused run does it as well.
    pub fn preempt(&self) {
        self.control.send_modify(|control| control.preempt = true);
    }

    /// Kills the run, which then ends in [`super::RunError::Cancelled`].
    pub fn cancel(&self) {
        self.control.send_modify(|control| control.cancelled = true);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }
}

fn permille(share: f64) -> u32 {
    // Not a number counts as a pause.
    (share.clamp(0.0, 1.0) * 1000.0).round() as u32
}
