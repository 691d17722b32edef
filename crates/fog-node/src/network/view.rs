//! The networks as the circuits screen shows them.

use super::{Member, Network, mixnode, privacy, traffic, unix};
use crate::core::Core;
use crate::identity::hex;
use crate::time::seconds;
use betanet::LinkState;
use betanet::client::Client;
use fog_api::{MixnetView, MixnodeState, NetworkHealth, NetworkView, RelayView};

fn unix_seconds(at: u64) -> f64 {
    seconds(i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(1000))
}

impl Network {
    /// Everything for the circuits screen.
    pub(crate) fn view(&self, core: &Core) -> NetworkView {
        let primary = self.primary_client();
        let members = self.members.read();
        let mut networks: Vec<MixnetView> = Vec::new();
        let (mut sent, mut received) = (0, 0);
        let mut worst: Option<(NetworkHealth, String)> = None;
        for member in members.values() {
            let client = self.road.client(&member.network);
            let home_state = client.as_ref().map(|c| c.home_state()).unwrap_or_default();
            if let Some(client) = &client {
                let traffic = client.traffic();
                sent += traffic.sent;
                received += traffic.received;
            }
            if member.primary {
                worst = Some(health(member, client.as_deref(), &home_state));
            }
            let timing = member.document().network.timing;
            let (measured, now) = (timing.voting > 0, client.as_ref().map(|c| c.view()));
            let relays = member.document().relays.iter().map(|relay| {
                let (delivered_share, in_use) =
                    client.as_ref().map_or((None, false), |c| c.relay_health(&relay.id));
                RelayView {
                    id: hex(&relay.id),
                    name: betanet::short(&relay.id),
                    address: relay.address.to_string(),
                    layer: relay.layer,
                    // Coarse, so that the page is not told of every packet.
                    delivered_share: delivered_share.map(|s| (s * 100.0).round() / 100.0),
                    in_use,
                    operator: relay.operator.clone(),
                    pinned: client.as_ref().is_some_and(|c| c.is_entry(&relay.id)),
                    drawn: now.as_ref().is_some_and(|v| v.is_drawn(&relay.id)),
                    performance: measured.then(|| f64::from(relay.standing.performance) / 1000.0),
                    reputation: measured.then(|| f64::from(relay.standing.reputation) / 1000.0),
                }
            });
            networks.push(MixnetView {
                id: hex(&member.network),
                test: member.document().network.test,
                own: member.own,
                relays: relays.collect(),
                home: Some(hex(&member.home)),
                more_homes: member.more_homes.iter().map(|relay| hex(&relay)).collect(),
                home_connected: home_state == LinkState::Up,
                valid_until: unix_seconds(member.document().valid_until),
                authorities: u32::try_from(member.document().network.authorities.len()).unwrap_or(u32::MAX),
                signed_by: u32::try_from(member.signers).unwrap_or(u32::MAX),
                epoch_ends: (timing.epoch > 0).then(|| {
                    unix_seconds((u64::from(timing.epoch_at(unix())) + 1) * u64::from(timing.epoch))
                }),
            });
        }
        networks.sort_by(|a, b| a.id.cmp(&b.id));
        let (mut mixed, mut replays) = (0, 0);
        for relay in self.relays.lock().iter() {
            let counters = relay.counters();
            mixed += counters.forwarded + counters.delivered;
            replays += counters.replays;
        }
        let secret = members.values().any(|m| m.primary && self.is_secret(&m.network));
        let by_block = core.endpoint.by_block();
        let (health, reason) = worst.unwrap_or((NetworkHealth::Off, "This node is in no network.".into()));
        NetworkView {
            health,
            reason,
            networks,
            packets_sent: sent,
            packets_received: received,
            packets_resent: core.endpoint.resent(),
            acks_sent_by_block: by_block.sent,
            acks_received_by_block: by_block.received,
            packets_mixed: mixed,
            replays_refused: replays,
            mean_delay: f64::from(core.settings.read().mean_delay_ms) / 1000.0,
            privacy: privacy::view(members.values().find(|m| m.primary), primary.as_deref()),
            cover: traffic::view(primary.as_deref(), core.settings.read().cover, secret),
            history: self.history.lock().points(),
            direct: core.socket.view(),
            mixnode: self.mixnode_view(members.values().any(|m| m.own && m.primary)),
        }
    }

    fn mixnode_view(&self, own: bool) -> fog_api::MixnodeView {
        match &*self.mixnode.lock() {
            Some(mixnode) => mixnode.view(),
            None if own => mixnode::off(MixnodeState::OwnNetwork),
            None => mixnode::off(MixnodeState::Off),
        }
    }
}

fn health(member: &Member, client: Option<&Client>, home: &LinkState) -> (NetworkHealth, String) {
    if let Some(problem) = &member.problem {
        return (NetworkHealth::Trouble, problem.clone());
    }
    let Some(client) = client else {
        return (NetworkHealth::Connecting, "Starting.".into());
    };
    match (home, client.entries_up()) {
        (LinkState::Up, 1..) => {
            (NetworkHealth::Online, "Connected to the home relay and to entry relays.".into())
        }
        (LinkState::Up, 0) => (NetworkHealth::Trouble, "No entry relay answers: messages wait.".into()),
        (LinkState::Down(why), _) => {
            (NetworkHealth::Trouble, format!("The home relay does not answer: {why}."))
        }
        (LinkState::Connecting, _) => (NetworkHealth::Connecting, "Connecting to the home relay.".into()),
    }
}
