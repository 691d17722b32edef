//! Gives a running container the share of the processor that the owner gives.
//!
//! At 0 it is paused: the system freezes its processes, and nothing is lost. Above, the engine's CPU limit is changed; an
//! engine that cannot do so (Podman before 5) pauses the container for a part of each second instead.

use super::engine::Engine;
use bollard::models::ContainerUpdateBody;
use std::time::Duration;
use tokio::time::Instant;

/// Of one turn, if the container is paused by turns.
const TURN: Duration = Duration::from_secs(1);
/// A part of a turn that is too short to pause for.
const LEAST: Duration = Duration::from_millis(50);

/// The CPU limit for a share in thousandths, in billionths of a core. Engines take no less than a hundredth.
pub(super) fn nano_cpus(millicores: u32, share: u32) -> i64 {
    (i64::from(millicores) * i64::from(share) * 1000).max(10_000_000)
}

/// One container's throttle.
#[derive(Debug)]
pub(super) struct Throttle<'a> {
    engine: &'a Engine,
    container: &'a str,
    millicores: u32,
    share: u32,
    paused: bool,
    /// When to pause or go on next, if by turns.
    flip: Option<Instant>,
}

impl<'a> Throttle<'a> {
    /// Of a container that was just started with this share.
    pub(super) async fn new(engine: &'a Engine, container: &'a str, millicores: u32, share: u32) -> Self {
        let mut throttle = Self { engine, container, millicores, share: 1000, paused: false, flip: None };
        if engine.info.live_limits {
            throttle.share = share;
        } else {
            throttle.set(share).await;
        }
        throttle
    }

    /// The CPU limit to start with.
    pub(super) fn initial(engine: &Engine, millicores: u32, share: u32) -> i64 {
        nano_cpus(millicores, if engine.info.live_limits { share } else { 1000 })
    }

    /// From now on with this share.
    pub(super) async fn set(&mut self, share: u32) {
        if share == self.share {
            return;
        }
        self.share = share;
        self.flip = None;
        if share == 0 {
            self.pause().await;
            return;
        }
        if self.engine.info.live_limits {
            let body = ContainerUpdateBody {
                nano_cpus: Some(nano_cpus(self.millicores, share)),
                ..Default::default()
            };
            if let Err(error) = self.engine.docker.update_container(self.container, body).await {
                tracing::warn!(%error, "the CPU limit of a container cannot be changed");
            }
        } else if TURN * (1000 - share) / 1000 >= LEAST {
            self.flip = Some(Instant::now() + TURN * share / 1000);
        }
        self.unpause().await;
    }

    /// Waits until it is time to pause or go on, for ever if it never is.
    pub(super) async fn turn(&self) {
        match self.flip {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Pauses or goes on, by turns.
    pub(super) async fn flip(&mut self) {
        let part = if self.paused {
            self.unpause().await;
            self.share
        } else {
            self.pause().await;
            1000 - self.share
        };
        self.flip = Some(Instant::now() + TURN * part / 1000);
    }

    /// Runs `work` while nothing moves in the container.
    pub(super) async fn stand_still<T>(&mut self, work: impl Future<Output = T>) -> T {
        let was_paused = self.paused;
        self.pause().await;
        let result = work.await;
        if !was_paused {
            self.unpause().await;
        }
        result
    }

    /// Lets it run, whatever its share was: it has been told to end, and needs to.
    pub(super) async fn release(&mut self) {
        self.flip = None;
        self.share = self.share.max(1);
        self.unpause().await;
    }

    async fn pause(&mut self) {
        if !self.paused {
            // It may just have ended; waiting for it tells.
            if let Err(error) = self.engine.docker.pause_container(self.container).await {
                tracing::debug!(%error, "a container cannot be paused");
                return;
            }
            self.paused = true;
        }
    }

    async fn unpause(&mut self) {
        if self.paused {
            if let Err(error) = self.engine.docker.unpause_container(self.container).await {
                tracing::debug!(%error, "a container cannot be unpaused");
                return;
            }
            self.paused = false;
        }
    }

    /// Tries again what the engine refused. Call it from time to time.
    pub(super) async fn settle(&mut self) {
        if self.flip.is_none() && self.paused != (self.share == 0) {
            if self.paused { self.unpause().await } else { self.pause().await }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_limits() {
        assert_eq!(nano_cpus(1000, 1000), 1_000_000_000);
        assert_eq!(nano_cpus(2500, 500), 1_250_000_000);
        assert_eq!(nano_cpus(500, 1), 10_000_000);
    }
}
