//! The rule sets that a scenario compares, all run by the same engine.

use bitchat::mesh::{CarryRule, Config, RelayRule};

/// A rule set by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    /// Ours.
    Native,
    /// As the iPhone app relays.
    Iphone,
    /// As the Android app relays.
    Android,
    /// Everything once over every link.
    Flood,
    /// The sender waits for the receiver.
    Direct,
    /// A copy to everybody.
    Epidemic,
    /// Binary spray and wait with so many copies.
    Spray(u16),
    /// RFC 6693, GRTR.
    Prophet,
}

impl Profile {
    pub(crate) fn config(self) -> Config {
        let bare =
            Config { limits: None, acks: false, sync: false, relay: RelayRule::Never, ..Config::native() };
        let carry = |carry| Config { carry, ..bare.clone() };
        match self {
            Self::Native => Config::native(),
            // A phone keeps its own messages until they are acknowledged.
            Self::Iphone => Config { acks: true, ..Config::compatible() },
            Self::Android => Config { acks: true, relay: RelayRule::Android, ..Config::compatible() },
            Self::Flood => Config { relay: RelayRule::Flood, carry: CarryRule::Never, ..bare },
            Self::Direct => carry(CarryRule::Direct),
            Self::Epidemic => carry(CarryRule::Epidemic),
            Self::Spray(copies) => carry(CarryRule::Spray { copies }),
            Self::Prophet => carry(CarryRule::Prophet),
        }
    }
}
