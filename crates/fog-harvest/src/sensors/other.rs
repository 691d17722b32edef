//! Power and heat where there are no kernel files to read. The user's idle time is unknown for now.

use crate::Readings;
use starship_battery::units::ratio::ratio;
use starship_battery::units::thermodynamic_temperature::degree_celsius;
use starship_battery::{Manager, State};
use sysinfo::Components;

pub(super) struct Other {
    batteries: Option<Manager>,
    components: Option<Components>,
}

impl Other {
    pub(super) fn new() -> Self {
        Self { batteries: Manager::new().ok(), components: Components::new_with_refreshed_list().ok() }
    }

    pub(super) fn read(&mut self, readings: &mut Readings) {
        readings.user_idle_source = "this system is not asked yet".into();
        let list = self.batteries.as_ref().and_then(|manager| manager.batteries().ok());
        let batteries: Vec<_> = list.into_iter().flatten().flatten().collect();
        readings.has_battery = !batteries.is_empty();
        readings.plugged_in = Some(
            batteries.is_empty()
                || batteries.iter().any(|b| matches!(b.state(), State::Charging | State::Full)),
        );
        if !batteries.is_empty() {
            let sum: f64 = batteries.iter().map(|b| f64::from(b.state_of_charge().get::<ratio>())).sum();
            readings.battery = Some((sum / batteries.len() as f64).clamp(0.0, 1.0));
        }
        readings.battery_celsius = batteries
            .iter()
            .filter_map(|b| b.temperature())
            .map(|t| f64::from(t.get::<degree_celsius>()))
            .max_by(f64::total_cmp);

        let Some(components) = &mut self.components else { return };
        components.refresh(false);
        let processor = |label: &str| {
            let label = label.to_lowercase();
            ["cpu", "soc", "package", "core", "die"].iter().any(|part| label.contains(part))
        };
        let hottest = components
            .iter()
            .filter(|c| processor(c.label()))
            .filter_map(|c| Some((f64::from(c.temperature()?), c.critical().map(f64::from))))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((celsius, trip)) = hottest {
            readings.cpu_celsius = Some(celsius);
            readings.cpu_trip_celsius = trip;
        }
    }
}
