//! Windows: the user's last input, the power, and the session's lock.

#![allow(unsafe_code, reason = "the system's calls")]

use crate::Readings;
use windows_sys::Win32::System::Power::{GetSystemPowerStatus, SYSTEM_POWER_STATUS};
use windows_sys::Win32::System::RemoteDesktop::{
    WTS_CURRENT_SERVER_HANDLE, WTS_CURRENT_SESSION, WTSFreeMemory, WTSINFOEXW, WTSQuerySessionInformationW,
    WTSSessionInfoEx,
};
use windows_sys::Win32::System::SystemInformation::GetTickCount;
use windows_sys::Win32::UI::Input::KeyboardAndMouse::{GetLastInputInfo, LASTINPUTINFO};

/// No such battery.
const NO_BATTERY: u8 = 128;
const UNKNOWN: u8 = 255;
/// The session's flags: 0 is locked, 1 is not.
const LOCKED: i32 = 0;
const UNLOCKED: i32 = 1;

pub(super) fn read(readings: &mut Readings) {
    match idle() {
        Some(seconds) => {
            readings.user_idle = Some(seconds);
            readings.user_idle_source = "Windows' last input".into();
        }
        None => readings.user_idle_source = "Windows does not tell the last input".into(),
    }
    power(readings);
    readings.locked = locked();
}

/// Seconds since the last input of this session.
fn idle() -> Option<f64> {
    let mut last = LASTINPUTINFO { cbSize: size_of::<LASTINPUTINFO>() as u32, dwTime: 0 };
    // SAFETY: the structure lives during the call and names its size.
    if unsafe { GetLastInputInfo(&raw mut last) } == 0 {
        return None;
    }
    // SAFETY: takes nothing.
    let now = unsafe { GetTickCount() };
    // Both count milliseconds and begin anew after 49 days.
    Some(f64::from(now.wrapping_sub(last.dwTime)) / 1000.0)
}

/// What the system says of the plug comes before what the batteries' own drivers do.
fn power(readings: &mut Readings) {
    // SAFETY: numbers only, for which zero is a value.
    let mut status: SYSTEM_POWER_STATUS = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives during the call.
    if unsafe { GetSystemPowerStatus(&raw mut status) } == 0 {
        return;
    }
    if status.BatteryFlag == UNKNOWN {
        return;
    }
    readings.has_battery = status.BatteryFlag & NO_BATTERY == 0;
    if !readings.has_battery {
        readings.plugged_in = Some(true);
        return;
    }
    readings.plugged_in = match status.ACLineStatus {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    };
    if status.BatteryLifePercent <= 100 {
        readings.battery = Some(f64::from(status.BatteryLifePercent) / 100.0);
    }
}

/// True if this session is locked.
fn locked() -> Option<bool> {
    let (mut buffer, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the system fills in a buffer of its own, which is given back below.
    let told = unsafe {
        WTSQuerySessionInformationW(
            WTS_CURRENT_SERVER_HANDLE,
            WTS_CURRENT_SESSION,
            WTSSessionInfoEx,
            &raw mut buffer,
            &raw mut size,
        )
    };
    if told == 0 || buffer.is_null() {
        return None;
    }
    let mut flags = None;
    if size as usize >= size_of::<WTSINFOEXW>() {
        // SAFETY: the buffer holds such a structure, as its size says; it need not be aligned.
        let info = unsafe { buffer.cast::<WTSINFOEXW>().read_unaligned() };
        if info.Level == 1 {
            // SAFETY: level 1 is the union's only member.
            flags = Some(unsafe { info.Data.WTSInfoExLevel1.SessionFlags });
        }
    }
    // SAFETY: it came from the system, and is given back once.
    unsafe { WTSFreeMemory(buffer.cast()) };
    match flags? {
        LOCKED => Some(true),
        UNLOCKED => Some(false),
        _ => None,
    }
}
