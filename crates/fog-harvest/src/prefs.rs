//! What the owner allows.

use crate::Hours;
use serde::{Deserialize, Serialize};

/// When the owner lets the device work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prefs {
    /// Lend this device at all.
    pub enabled: bool,
    /// Also on battery.
    pub on_battery: bool,
    /// On battery, work starts at this charge or more, percent.
    pub battery_start: u32,
    /// On battery, work stops at this charge or less, percent.
    pub battery_stop: u32,
    /// Also while the owner is active.
    pub alongside: bool,
    /// Minutes without input before work starts.
    pub idle_minutes: u32,
    /// Also over a network that costs by volume.
    pub metered: bool,
    /// CPU cap, percent of all processors together.
    pub cpu_percent: u32,
    /// Memory cap, percent.
    pub memory_percent: u32,
    /// Seconds that power, network and exclusive programs must have allowed work before it starts.
    pub grace_seconds: u32,
    /// Work stops while other programs use more than this share of all processors, percent; 0 does not look.
    pub others_percent: u32,
    /// Keep the fan quiet: a lower temperature, and less of the processor.
    pub quiet: bool,
    /// The hours of the week; none is always.
    pub hours: Hours,
    /// Names of programs; while one of them runs, the device does not work.
    pub exclusive: Vec<String>,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            enabled: true,
            on_battery: false,
            battery_start: 50,
            battery_stop: 45,
            alongside: false,
            idle_minutes: 5,
            metered: false,
            cpu_percent: 50,
            memory_percent: 30,
            grace_seconds: 30,
            others_percent: 50,
            quiet: false,
            hours: Hours::default(),
            exclusive: Vec::new(),
        }
    }
}

/// Ready-made answers to the questions of how much and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Little, late, and quietly.
    Conservative,
    /// The defaults.
    Balanced,
    /// Much, soon, also on battery and while the owner works.
    Aggressive,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Conservative, Self::Balanced, Self::Aggressive];

    /// Sets what the mode is about. The switch, hours, programs and metered networks stay the owner's.
    pub fn apply(self, prefs: &mut Prefs) {
        let base = Prefs::default();
        let preset = match self {
            Self::Conservative => Prefs {
                idle_minutes: 15,
                cpu_percent: 25,
                memory_percent: 20,
                grace_seconds: 60,
                others_percent: 25,
                quiet: true,
                ..base
            },
            Self::Balanced => base,
            Self::Aggressive => Prefs {
                on_battery: true,
                alongside: true,
                idle_minutes: 1,
                cpu_percent: 80,
                memory_percent: 50,
                grace_seconds: 10,
                others_percent: 75,
                ..base
            },
        };
        *prefs = Prefs {
            enabled: prefs.enabled,
            metered: prefs.metered,
            hours: std::mem::take(&mut prefs.hours),
            exclusive: std::mem::take(&mut prefs.exclusive),
            ..preset
        };
    }

    /// The mode that these preferences are, if they are one.
    pub fn of(prefs: &Prefs) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| {
            let mut same = prefs.clone();
            mode.apply(&mut same);
            same == *prefs
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;

    #[test]
    fn a_mode_is_recognised_and_keeps_what_is_the_owners() {
        let mut prefs = Prefs {
            enabled: false,
            metered: true,
            hours: Hours(vec![Window { day: 0, from: 0, to: 60 }]),
            exclusive: vec!["blender".into()],
            ..Prefs::default()
        };
        let owners = prefs.clone();
        for mode in Mode::ALL {
            mode.apply(&mut prefs);
            assert_eq!(Mode::of(&prefs), Some(mode));
            assert_eq!(
                (prefs.enabled, prefs.metered, &prefs.hours, &prefs.exclusive),
                (owners.enabled, owners.metered, &owners.hours, &owners.exclusive)
            );
        }
        prefs.cpu_percent = 33;
        assert_eq!(Mode::of(&prefs), None);
    }

    #[test]
    fn the_defaults_are_balanced() {
        assert_eq!(Mode::of(&Prefs::default()), Some(Mode::Balanced));
    }
}
