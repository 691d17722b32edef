//! How much cover traffic, what it costs, and what it gives.

use crate::link::PACKET_FRAME_LEN;
use crate::packet::PAYLOAD_LEN;
use crate::sphinx::IDENTIFIER_LEN;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The part of the slots that are loops.
pub const LOOP_SHARE: f64 = 0.2;

const SECONDS_A_DAY: f64 = 86_400.0;
/// What a link adds to a frame: 4 bytes of length, 1 of type, 16 of the cipher's tag.
const FRAMING: usize = 4 + 1 + 16;
/// A delivery says how long its content is.
const LENGTH: usize = 2;
/// A delivery and its receipt carry a number.
const NUMBER: usize = 8;

/// The rate of a client's packets, mail included: the more, the shorter mail waits and the more data is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// No cover traffic: mail leaves at once.
    Off,
    /// 0.5 packets a second.
    Mobile,
    /// 4 packets a second.
    Standard,
    /// 20 packets a second.
    Strong,
}

/// The text names no [`Profile`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no cover profile of this name: use off, mobile, standard or strong")]
pub struct UnknownProfile;

impl Profile {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Mobile, Self::Standard, Self::Strong];

    /// Mean packets a second, of all kinds.
    pub fn packets_a_second(self) -> f64 {
        match self {
            Self::Off => 0.0,
            Self::Mobile => 0.5,
            Self::Standard => 4.0,
            Self::Strong => 20.0,
        }
    }

    /// Mean bytes that a client sends in a day: a framed packet ([`PACKET_FRAME_LEN`]) for each slot, mail included,
    /// and a receipt (29 bytes) for each loop that comes back. TCP and IP add about 4 %.
    pub fn bytes_a_day_up(self) -> u64 {
        let slot = PACKET_FRAME_LEN as f64;
        let receipt = (NUMBER + FRAMING) as f64;
        (self.packets_a_day() * (slot + LOOP_SHARE * receipt)).round() as u64
    }

    /// Mean bytes that a client receives in a day for its cover traffic: each loop that comes back is a delivery
    /// ([`PAYLOAD_LEN`] + 47 bytes). What others write comes on top; their drop packets end elsewhere. TCP and IP add
    /// about 4 %.
    pub fn bytes_a_day_down(self) -> u64 {
        let delivery = (PAYLOAD_LEN + NUMBER + IDENTIFIER_LEN + LENGTH + FRAMING) as f64;
        (self.packets_a_day() * LOOP_SHARE * delivery).round() as u64
    }

    /// What is protected and what is lost, for a person.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Off => {
                "Who watches your line sees when you send and when you receive, and how much. \
                 The relays still hide with whom."
            }
            Self::Mobile => {
                "Who watches your line cannot tell when you send, or how much. \
                 A packet waits 2.5 seconds on average, and more than 0.7 kB a second do not leave. \
                 A message that arrives shows among few other packets."
            }
            Self::Standard => {
                "Who watches your line cannot tell when you send, or how much. \
                 A packet waits 0.3 seconds on average, and more than 6 kB a second do not leave. \
                 Many messages that arrive at once still show."
            }
            Self::Strong => {
                "Who watches your line cannot tell when you send, or how much. \
                 A packet hardly waits, and more than 30 kB a second do not leave. \
                 Only a lot that arrives at once still shows. It needs more than 4 GB a day."
            }
        }
    }

    fn packets_a_day(self) -> f64 {
        self.packets_a_second() * SECONDS_A_DAY
    }

    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Mobile => "mobile",
            Self::Standard => "standard",
            Self::Strong => "strong",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or(UnknownProfile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_text_and_in_files() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
            let json = serde_json::to_string(&profile).expect("encodes");
            assert_eq!(json, format!("\"{profile}\""));
            assert_eq!(serde_json::from_str::<Profile>(&json).expect("decodes"), profile);
        }
        assert_eq!("Strong".parse::<Profile>(), Err(UnknownProfile));
        assert_eq!("".parse::<Profile>(), Err(UnknownProfile));
    }

    /// 4 a second are 345,600 a day of 2,417 bytes; a fifth of them, 69,120, come back as 2,060 bytes and are
    /// acknowledged with 29.
    #[test]
    fn the_price_of_a_profile() {
        assert_eq!(Profile::Standard.bytes_a_day_up(), 345_600 * 2417 + 69_120 * 29);
        assert_eq!(Profile::Standard.bytes_a_day_down(), 69_120 * 2060);
        assert_eq!(Profile::Mobile.bytes_a_day_up() * 8, Profile::Standard.bytes_a_day_up());
        assert_eq!(Profile::Strong.bytes_a_day_down(), Profile::Standard.bytes_a_day_down() * 5);
        assert!(Profile::Strong.bytes_a_day_up() > 4_000_000_000, "as its promise says");
        assert_eq!((Profile::Off.bytes_a_day_up(), Profile::Off.bytes_a_day_down()), (0, 0));
    }

    /// The sentences name waiting times and rates: those of the slots that are not loops.
    #[test]
    fn promises_agree_with_the_rates() {
        for (profile, wait, rate) in [
            (Profile::Mobile, "2.5 seconds", 0.7),
            (Profile::Standard, "0.3 seconds", 6.0),
            (Profile::Strong, "", 30.0),
        ] {
            let payloads = profile.packets_a_second() * (1.0 - LOOP_SHARE);
            let promise = profile.promise();
            assert!(promise.contains(wait), "{promise}");
            assert!(wait.is_empty() || wait.starts_with(&format!("{:.1}", 1.0 / payloads)));
            assert!(promise.contains(&format!("{rate} kB")), "{promise}");
            // Envelopes and fragments take some of each packet: about 1,900 bytes are left.
            assert!((payloads * 1.9 / rate - 1.0).abs() < 0.1, "{}", payloads * 1.9);
        }
        assert!(Profile::Off.promise().contains("when you send"));
    }
}
