//! When this device lends itself.

use super::Switch;
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub(crate) enum HarvestCommand {
    /// Show sensors, decision and reason.
    Status,
    /// Work now in spite of the gates (all but heat); `off` goes back to them.
    Now {
        /// On or off.
        #[arg(value_enum, default_value_t = Switch::On)]
        switch: Switch,
    },
    /// Pause lending for a while, for instance 30m, 2h or 1d; `off` goes on at once.
    Pause {
        /// For how long.
        #[arg(value_name = "TIME", default_value = "1h", value_parser = seconds)]
        seconds: u32,
    },
    /// Change when this device may work.
    Set(Box<HarvestSet>),
}

#[derive(clap::Args)]
pub(crate) struct HarvestSet {
    /// Ready-made answers; what else is given here comes on top.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Lend this device at all.
    #[arg(long)]
    pub(crate) enabled: Option<bool>,
    /// Also on battery.
    #[arg(long)]
    pub(crate) on_battery: Option<bool>,
    /// On battery, start at this charge or more, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) battery_start: Option<u32>,
    /// On battery, stop at this charge or less, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) battery_stop: Option<u32>,
    /// Also while you are active.
    #[arg(long)]
    pub(crate) alongside: Option<bool>,
    /// Minutes without input before work starts.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) idle_minutes: Option<u32>,
    /// Also over a network that costs by volume.
    #[arg(long)]
    pub(crate) metered: Option<bool>,
    /// CPU cap, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) cpu_percent: Option<u32>,
    /// Memory cap, percent.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) memory_percent: Option<u32>,
    /// Seconds that power, network and exclusive programs must have allowed work before it starts.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_seconds: Option<u32>,
    /// Stop while other programs use more of the processor than this, percent; 0 does not look.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) others_percent: Option<u32>,
    /// Keep the fan quiet.
    #[arg(long)]
    pub(crate) quiet: Option<bool>,
    /// The hours: `22-7`, `"mon-fri 18:30-8, sat-sun 0-24"`, or `always`.
    #[arg(long)]
    pub(crate) hours: Option<fog_api::WeekHours>,
    /// While this program runs, do not work. May be given several times, and replaces those before; an empty name
    /// leaves none.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exclusive: Vec<String>,
    /// What a kilowatt-hour costs in your money, for the estimate of a day's cost; `none` forgets it.
    #[arg(long, value_name = "PRICE", value_parser = number_or_none)]
    pub(crate) price_per_kwh: Option<NumberOrNone>,
    /// Watts that the device draws with an idle processor; `none` guesses.
    #[arg(long, value_name = "WATTS", value_parser = number_or_none)]
    pub(crate) idle_watts: Option<NumberOrNone>,
    /// Watts that a fully used processor adds; `none` guesses.
    #[arg(long, value_name = "WATTS", value_parser = number_or_none)]
    pub(crate) busy_watts: Option<NumberOrNone>,
}

/// A number, or the word that takes one back.
#[derive(Clone, Copy)]
pub(crate) struct NumberOrNone(pub(crate) Option<f64>);

fn number_or_none(text: &str) -> Result<NumberOrNone, String> {
    if text == "none" {
        return Ok(NumberOrNone(None));
    }
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.map(|n| NumberOrNone(Some(n))).ok_or_else(|| "a number from 0 on, or none".into())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Little, late, and quietly.
    Conservative,
    /// The defaults.
    Balanced,
    /// Much, soon, also on battery and while you work.
    Aggressive,
}

/// A time such as `90`, `30m`, `2h`, `1d`; `off` is none.
fn seconds(text: &str) -> Result<u32, String> {
    let text = text.trim();
    if text == "off" {
        return Ok(0);
    }
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 24 * 3600),
        _ => (text, 1),
    };
    match number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("write for instance 30m, 2h, 1d, or off".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in
            [("off", 0), ("90", 90), ("45s", 45), ("30m", 1800), ("2h", 7200), ("1d", 86_400)]
        {
            assert_eq!(seconds(text).ok(), Some(expected), "{text}");
        }
        for bad in ["", "0", "h", "-1h", "1w", "1.5h", "99999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
