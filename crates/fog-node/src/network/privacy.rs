//! What the mixnet promises now: a small machine in which each state is a promise.

use super::Member;
use betanet::LinkState;
use betanet::client::Client;
use betanet::cover::Profile;
use fog_api::{PrivacyState, PrivacyView};
use std::collections::HashSet;

/// What decides.
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Nothing can be sent now.
    waits: bool,
    /// One person runs all relays.
    test: bool,
    /// Operators that name themselves.
    operators: usize,
    cover: Profile,
}

/// Fewer named operators than hops on a path, and no path is of different hands.
const OPERATORS: usize = 3;

pub(super) fn view(member: Option<&Member>, client: Option<&Client>) -> PrivacyView {
    let operators = member.map_or(0, |m| {
        let named = m.document().relays.iter().map(|r| r.operator.as_str()).filter(|o| !o.is_empty());
        named.collect::<HashSet<_>>().len()
    });
    let linked =
        client.is_some_and(|c| c.home_state() == LinkState::Up && c.entries_up() > 0 && c.is_fresh());
    tell(Facts {
        waits: !linked || member.is_none_or(|m| m.problem.is_some()),
        test: member.is_some_and(|m| m.document().network.test),
        operators,
        cover: client.map_or(Profile::Off, Client::cover),
    })
}

fn tell(facts: Facts) -> PrivacyView {
    let state = match facts {
        Facts { waits: true, .. } => PrivacyState::Waiting,
        Facts { test: true, .. } => PrivacyState::Sealed,
        Facts { operators: 0..OPERATORS, .. } => PrivacyState::Sealed,
        Facts { cover: Profile::Off, .. } => PrivacyState::Mixed,
        _ => PrivacyState::Covered,
    };
    let (promise, limits) = match state {
        PrivacyState::Waiting => (
            "Nothing leaves this device until it can go out as you asked. Messages wait, and none is lost.",
            "Nobody learns anything new from waiting.",
        ),
        PrivacyState::Sealed if facts.test => (
            "What you write is sealed for its receiver: no relay can read it.",
            "One person runs all relays of this test network, and can see who writes to whom, when and how much.",
        ),
        PrivacyState::Sealed => (
            "What you write is sealed for its receiver: no relay can read it.",
            "Fewer than three operators are named in this network's directory: they may be one person, who can see who \
             writes to whom.",
        ),
        PrivacyState::Mixed => (
            "Relays of different operators mix your packets with those of others: none of them knows both you and whom \
             you write to.",
            "Whoever watches your line sees when you send, and how much. Whoever watches the whole network may guess \
             from that to whom.",
        ),
        PrivacyState::Covered => (
            "Relays of different operators mix your packets, and a steady stream of packets leaves this device whether \
             you write or not.",
            "Whoever watches your line sees that you use Fog Compute, and when the device is on. What you receive is \
             not covered. All relays of a path together would know the way.",
        ),
    };
    PrivacyView { state, promise: promise.into(), limits: limits.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_promises_more_than_holds() {
        let all = |waits, test, operators, cover| tell(Facts { waits, test, operators, cover }).state;
        for cover in [Profile::Off, Profile::Standard] {
            for operators in [0, 2, 9] {
                for test in [true, false] {
                    assert_eq!(all(true, test, operators, cover), PrivacyState::Waiting);
                }
                assert_eq!(
                    all(false, true, operators, cover),
                    PrivacyState::Sealed,
                    "cover hides nothing there"
                );
            }
            assert_eq!(all(false, false, 2, cover), PrivacyState::Sealed);
        }
        assert_eq!(all(false, false, 3, Profile::Off), PrivacyState::Mixed);
        assert_eq!(all(false, false, 3, Profile::Mobile), PrivacyState::Covered);
    }
}
