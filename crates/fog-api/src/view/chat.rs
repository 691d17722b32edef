//! Contacts and messages.

use crate::{PeerId, Seconds};
use serde::{Deserialize, Serialize};

/// A contact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Their id.
    pub id: PeerId,
    /// The name on their card.
    pub name: String,
    /// Short form of the id for comparing aloud.
    pub fingerprint: String,
    /// Accepted, asking or blocked.
    pub state: ContactState,
    /// Heard from within the last 300 s.
    pub online: bool,
    /// Last time anything authentic came from them.
    pub last_seen: Option<Seconds>,
    /// Received and not yet read.
    pub unread: u32,
    /// The newest message's first line.
    pub last_text: Option<String>,
    /// Its time.
    pub last_time: Option<Seconds>,
    /// The network over which they are reached.
    pub network: String,
    /// True: a test network, no anonymity.
    pub test_network: bool,
    /// How what I send them goes through the mixnet, as I chose.
    pub privacy: PrivacyLevel,
    /// What they asked for, or [`PrivacyLevel::Public`] if they allow that: the higher of both holds, in both directions.
    pub privacy_asked: PrivacyLevel,
}

/// How far messages go through the mixnet. A message that cannot be sent at its level waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyLevel {
    /// Over a direct connection, encrypted, without relays and without anonymity: if both sides chose it, and while there
    /// is such a connection. Otherwise as [`PrivacyLevel::Private`].
    Public,
    /// Over three relays.
    #[default]
    Private,
    /// Over five relays: slower, and safer against relays that work together.
    Confidential,
    /// Over five relays to a meeting point that the receiver reaches over five more, so that neither home relay sees the
    /// other side's packets. Both sides' cover traffic is on.
    Secret,
}

/// What a contact is to me.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// They added me; I have not answered yet.
    Asking,
    /// A contact.
    Accepted,
    /// Nothing of theirs gets in.
    Blocked,
}

/// My address card.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CardView {
    /// The text to copy.
    pub text: String,
    /// The same as a QR code, an SVG document.
    pub qr_svg: String,
    /// True: the card leads into a test network.
    pub test_network: bool,
}

/// A chat message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// The other person.
    pub peer: PeerId,
    /// True if I wrote it.
    pub outgoing: bool,
    /// The text.
    pub text: String,
    /// When it was written.
    pub time: Seconds,
    /// How far it is.
    pub status: MessageStatus,
    /// When the other side had it on disk.
    pub delivered: Option<Seconds>,
    /// When it was read.
    pub read: Option<Seconds>,
    /// Why it failed or waits, in plain words.
    pub reason: Option<String>,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// On disk here; not yet sent.
    Pending,
    /// Handed to the network.
    Sent,
    /// On the other side's disk.
    Delivered,
    /// Read.
    Read,
    /// Given up; `reason` says why.
    Failed,
}
