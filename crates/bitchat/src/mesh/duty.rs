//! When the radio looks for others.
//!
//! A node finds another when an advert of one falls into a scan of the other. Short scans that come often find as many
//! adverts a second as long ones that come seldom, but they have no long gap in which nothing can be found. So the
//! power-saving modes keep the period near the time between two adverts, and save by the scan's length.

/// How much battery discovery may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerMode {
    /// Always looking: on mains.
    Performance,
    /// The default.
    Balanced,
    /// Under 20 % of the battery.
    Saver,
}

/// A plan: look for `on_ms` in every `period_ms`, and be seen every `advert_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanPlan {
    /// The radio looks for so long,
    pub on_ms: u16,
    /// in every so long.
    pub period_ms: u16,
    /// Time between two adverts.
    pub advert_ms: u16,
}

/// The plan of a mode.
pub fn scan_plan(mode: PowerMode) -> ScanPlan {
    match mode {
        PowerMode::Performance => ScanPlan { on_ms: 1000, period_ms: 1000, advert_ms: 250 },
        PowerMode::Balanced => ScanPlan { on_ms: 90, period_ms: 640, advert_ms: 160 },
        PowerMode::Saver => ScanPlan { on_ms: 90, period_ms: 3000, advert_ms: 500 },
    }
}
