//! Linux: the kernel's files, the screen, and what the desktop's and the system's services say over D-Bus.

mod bus;
mod idle;
mod network;
mod proc;
mod screen;
mod sysfs;
#[cfg(test)]
mod tests;

use super::{Ask, Roots, Wake};
use crate::Readings;

pub(super) struct Linux {
    roots: Roots,
    proc: proc::Proc,
    screen: screen::Screen,
    bus: bus::Bus,
}

impl Linux {
    pub(super) fn new(roots: Roots, wake: Option<Wake>) -> Self {
        Self {
            proc: proc::Proc::new(roots.proc.clone()),
            screen: screen::Screen::new(if roots.wayland { None } else { roots.display.clone() }),
            bus: bus::Bus::start(roots.system_bus.clone(), roots.session_bus.clone(), wake),
            roots,
        }
    }

    pub(super) fn read(&mut self, ask: &Ask<'_>, readings: &mut Readings) {
        self.proc.read(ask, readings);
        sysfs::power(&self.roots.sys, readings);
        sysfs::heat(&self.roots.sys, readings);
        let told = self.bus.read();
        told.power(readings);
        readings.network_metered =
            told.metered.or_else(|| network::metered(&self.roots.proc, &self.roots.sys));
        let screen = self.screen.read();
        readings.screen_off = match (screen.off, told.blank) {
            (Some(a), Some(b)) => Some(a || b),
            (a, b) => a.or(b),
        };
        readings.locked = told.locked();
        idle::read(&self.roots, &screen, &told, ask.now, readings);
    }
}
