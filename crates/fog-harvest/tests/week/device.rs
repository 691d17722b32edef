//! The machine: heat that follows the load, a battery that follows the charger, and sensors with noise.

use crate::life::Moment;
use fog_harvest::{PowerModel, Readings, Thermal};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Laptop,
    Phone,
}

pub struct Device {
    kind: Kind,
    /// The processor's temperature (a laptop) or the body's and battery's (a phone), °C.
    heat: f64,
    /// The battery's charge, watt-hours.
    energy: f64,
    noise: u32,
}

impl Device {
    pub fn new(kind: Kind) -> Self {
        let mut device = Self { kind, heat: 30.0, energy: 0.0, noise: 1 };
        device.energy = device.capacity() * 0.8;
        device
    }

    fn capacity(&self) -> f64 {
        match self.kind {
            Kind::Laptop => 55.0,
            Kind::Phone => 15.0,
        }
    }

    fn model(&self) -> PowerModel {
        match self.kind {
            Kind::Laptop => PowerModel { idle_watts: 6.0, busy_watts: 24.0 },
            Kind::Phone => PowerModel { idle_watts: 0.3, busy_watts: 4.0 },
        }
    }

    /// The temperature at which the hardware protects itself, °C.
    pub fn trip(&self) -> f64 {
        match self.kind {
            Kind::Laptop => 100.0,
            Kind::Phone => 50.0,
        }
    }

    pub fn celsius(&self) -> f64 {
        self.heat
    }

    pub fn flat(&self) -> bool {
        self.energy <= 0.0
    }

    /// `share` of the processor goes to jobs; the owner's programs take theirs first.
    pub fn step(&mut self, moment: &Moment, share: f64, seconds: f64) {
        let load = (moment.others + share.min(1.0 - moment.others)).min(1.0);
        let draw = self.model().watts(load);
        let charger = match (moment.plugged, self.kind) {
            (false, _) => 0.0,
            (true, Kind::Laptop) => 60.0,
            (true, Kind::Phone) => 10.0,
        };
        let flow = (charger - draw) * seconds / 3600.0;
        let charging = flow > 0.0 && self.energy < self.capacity() * 0.99;
        self.energy = (self.energy + flow).clamp(0.0, self.capacity());
        // First order: where it would end, and how fast it goes there.
        let (end, constant) = match self.kind {
            Kind::Laptop => (moment.ambient + 8.0 + 56.0 * load, 25.0),
            Kind::Phone => (moment.ambient + 2.0 + 16.0 * load + if charging { 5.0 } else { 0.0 }, 400.0),
        };
        self.heat += (end - self.heat) * seconds / constant;
    }

    /// Evenly from -1 to 1.
    fn noise(&mut self) -> f64 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.noise >> 8) / f64::from(1u32 << 23) - 1.0
    }

    pub fn readings(&mut self, moment: &Moment, idle: f64, share: f64) -> Readings {
        let phone = self.kind == Kind::Phone;
        let heat = self.heat + self.noise();
        let thermal = match heat {
            ..38.0 => Thermal::None,
            38.0..42.0 => Thermal::Light,
            42.0..45.0 => Thermal::Moderate,
            _ => Thermal::Severe,
        };
        let others = (moment.others + 0.05 * self.noise()).clamp(0.0, 1.0);
        Readings {
            plugged_in: Some(moment.plugged),
            has_battery: true,
            battery: Some(self.energy / self.capacity()),
            battery_celsius: Some(if phone { heat } else { moment.ambient + 3.0 + 4.0 * share }),
            cpu_celsius: (!phone).then_some(heat),
            cpu_trip_celsius: (!phone).then_some(self.trip()),
            thermal: phone.then_some(thermal),
            cpu_load: Some((others + share).min(1.0)),
            others_load: Some(others),
            jobs_load: Some(share),
            memory_used: 4 << 30,
            memory_total: 8 << 30,
            cpus: 8,
            user_idle: Some(idle),
            user_idle_source: "the simulation".into(),
            screen_off: Some(moment.screen_off),
            network_metered: Some(moment.metered),
            program: moment.program.map(Into::into),
            ..Readings::default()
        }
    }
}
