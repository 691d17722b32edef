//! Times as the store and the page write them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch. A clock before 1970 counts as 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Milliseconds as the seconds of the views.
pub(crate) fn seconds(ms: i64) -> fog_api::Seconds {
    ms as f64 / 1000.0
}
