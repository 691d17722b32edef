//! The account and its journal.

use crate::{Amount, Seconds};
use serde::{Deserialize, Serialize};

/// My account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WalletView {
    /// What I can spend.
    pub balance: Amount,
    /// Held for jobs under way.
    pub escrow: Amount,
    /// Earned in all.
    pub earned: Amount,
    /// Spent in all.
    pub spent: Amount,
    /// Earned a day, the last 14 days, oldest first.
    pub earned_by_day: Vec<Amount>,
    /// The journal, the newest first, at most 200.
    pub entries: Vec<EntryView>,
}

/// One entry of the journal, from my account's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryView {
    /// Its id.
    pub id: String,
    /// When.
    pub time: Seconds,
    /// What for, in plain words.
    pub memo: String,
    /// True if my account received.
    pub credit: bool,
    /// How much.
    pub amount: Amount,
    /// The account on the other side.
    pub other: String,
    /// The job, for a job's payment.
    pub job: Option<String>,
}
