//! A mixnode on this device, for the network that it is in, and what it earns.

use betanet::directory::SignedConsensus;
use betanet::relay::{About, Relay, RelayConfig, RelayKeys, upkeep};
use fog_api::{Amount, MixnodeSettings, MixnodeState, MixnodeView};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A mixnode that runs, or what keeps it from running.
pub(super) struct Mixnode {
    settings: MixnodeSettings,
    running: Result<Running, String>,
}

struct Running {
    relay: Arc<Relay>,
    consensus: watch::Receiver<Arc<SignedConsensus>>,
    pay: Mutex<Pay>,
    _ends: DropGuard,
}

/// What its owner was paid.
#[derive(Default)]
struct Pay {
    /// From when the list holds whose claim was made, or that allows none.
    claimed: Option<u64>,
    earned: u128,
}

/// Reads the addresses of the settings.
pub(crate) fn addresses(settings: &MixnodeSettings) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let parse = |text: &str| {
        let address = text.trim().parse::<SocketAddr>();
        address.map_err(|_| format!("{text:?} is no address with a port, such as 0.0.0.0:9000."))
    };
    if !(1..=3).contains(&settings.layer) {
        return Err("A mixnode is of layer 1 (entry), 2 (middle) or 3 (home).".into());
    }
    if settings.operator.len() > 64 || settings.operator.chars().any(char::is_control) {
        return Err("The operator's name has at most 64 bytes and no control characters.".into());
    }
    let public =
        settings.public_address.as_deref().filter(|t| !t.trim().is_empty()).map(parse).transpose()?;
    let listen = parse(&settings.listen)?;
    if public.is_none() && listen.ip().is_unspecified() {
        return Err(
            "Others cannot reach 0.0.0.0: give the address at which they reach this device, too.".into()
        );
    }
    Ok((listen, public))
}

impl Mixnode {
    /// Starts it; its keys are made with its first start and stay in `folder`.
    pub(super) async fn start(
        settings: MixnodeSettings,
        keys: RelayKeys,
        folder: &Path,
        consensus: Arc<SignedConsensus>,
    ) -> Self {
        let running = Self::run(&settings, keys, folder, consensus).await;
        if let Err(why) = &running {
            tracing::warn!("the mixnode does not run: {why}");
        }
        Self { settings, running }
    }

    async fn run(
        settings: &MixnodeSettings,
        keys: RelayKeys,
        folder: &Path,
        consensus: Arc<SignedConsensus>,
    ) -> Result<Running, String> {
        let (listen, public) = addresses(settings)?;
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let (sender, receiver) = watch::channel(consensus);
        let config = RelayConfig { folder: Some(folder.into()), ..RelayConfig::new(keys, listen) };
        let relay = Relay::start(config, receiver.clone()).await.map_err(|e| e.to_string())?;
        let relay = Arc::new(relay);
        let about = About {
            address: public.unwrap_or(relay.address()),
            layer: settings.layer,
            operator: settings.operator.clone(),
        };
        let ends = CancellationToken::new();
        let (kept, ended) = (relay.clone(), ends.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => kept.shutdown().await,
                () = upkeep(&kept, &about, &sender) => {}
            }
        });
        Ok(Running { relay, consensus: receiver, pay: Mutex::default(), _ends: ends.drop_guard() })
    }

    /// True if these settings are what it runs with, and it does run.
    pub(super) fn is(&self, settings: &MixnodeSettings) -> bool {
        self.settings == *settings && self.running.is_ok()
    }

    /// The newest list, if nothing was claimed by it yet.
    pub(super) fn unclaimed(&self) -> Option<Arc<SignedConsensus>> {
        let running = self.running.as_ref().ok()?;
        let consensus = running.consensus.borrow().clone();
        let claimed = running.pay.lock().claimed;
        (claimed != Some(consensus.unverified().valid_after)).then_some(consensus)
    }

    /// By this list was claimed what can be, and this much was paid in all.
    pub(super) fn claimed(&self, consensus: &SignedConsensus, earned: u128) {
        if let Ok(running) = &self.running {
            *running.pay.lock() = Pay { claimed: Some(consensus.unverified().valid_after), earned };
        }
    }

    pub(super) fn view(&self) -> MixnodeView {
        let running = match &self.running {
            Ok(running) => running,
            Err(why) => return MixnodeView { reason: why.clone(), ..off(MixnodeState::Trouble) },
        };
        let id = running.relay.id();
        let consensus = running.consensus.borrow().clone();
        let listed = consensus.unverified().relay(&id);
        let counters = running.relay.counters();
        let share = |mille: u16| f64::from(mille) / 1000.0;
        MixnodeView {
            state: if listed.is_some() { MixnodeState::Listed } else { MixnodeState::Starting },
            reason: match listed {
                Some(l) if !l.is_running() => {
                    "The authorities' packets do not come back from it: is its address reachable from outside?".into()
                }
                Some(_) => "It mixes packets for everybody in this network.".into(),
                None => "It runs, and waits for the directory's next edition.".into(),
            },
            address: Some(running.relay.address().to_string()),
            layer: Some(self.settings.layer),
            mixed: counters.forwarded + counters.delivered,
            performance: listed.map(|l| share(l.standing.performance)),
            reputation: listed.map(|l| share(l.standing.reputation)),
            earned: Amount(running.pay.lock().earned),
        }
    }
}

/// A view without a relay.
pub(super) fn off(state: MixnodeState) -> MixnodeView {
    MixnodeView {
        state,
        reason: String::new(),
        address: None,
        layer: None,
        mixed: 0,
        performance: None,
        reputation: None,
        earned: Amount::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_checked() {
        let settings = |listen: &str, public: Option<&str>, layer| MixnodeSettings {
            listen: listen.into(),
            public_address: public.map(Into::into),
            layer,
            operator: "me".into(),
        };
        let good = addresses(&settings("0.0.0.0:9000", Some(" 198.51.100.7:9000 "), 1)).expect("good");
        assert_eq!(good.1.map(|a| a.to_string()).as_deref(), Some("198.51.100.7:9000"));
        assert!(addresses(&settings("10.0.0.5:9000", Some(""), 3)).is_ok());
        for bad in [
            settings("0.0.0.0:9000", None, 1),
            settings("localhost", None, 1),
            settings("10.0.0.5", None, 1),
            settings("10.0.0.5:9000", Some("here"), 1),
            settings("10.0.0.5:9000", None, 4),
            MixnodeSettings { operator: "\n".into(), ..settings("10.0.0.5:9000", None, 1) },
        ] {
            assert!(addresses(&bad).is_err(), "{bad:?}");
        }
    }
}
