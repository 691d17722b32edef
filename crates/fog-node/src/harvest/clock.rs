//! The owner's wall clock: the time zone of this device, with its summer time.

use fog_harvest::Local;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// The local calendar's day 0.
const EPOCH: civil::Date = civil::date(1970, 1, 1);

/// A moment by the owner's clock.
pub(super) fn local(ms: i64) -> Local {
    at(ms, TimeZone::system())
}

fn at(ms: i64, zone: TimeZone) -> Local {
    let moment = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone).datetime();
    let time = moment.time();
    let second = u32::from(time.hour().unsigned_abs()) * 3600
        + u32::from(time.minute().unsigned_abs()) * 60
        + u32::from(time.second().unsigned_abs());
    Local { day: day(moment.date()), second }
}

fn day(date: civil::Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

/// When a local day began, milliseconds since 1970.
pub(super) fn midnight(day: i32) -> i64 {
    let date = date(day).unwrap_or(EPOCH);
    date.to_zoned(TimeZone::system()).map_or(0, |midnight| midnight.timestamp().as_millisecond())
}

/// A local day as `2026-11-27`.
pub(super) fn name(day: i32) -> String {
    date(day).unwrap_or(EPOCH).to_string()
}

fn date(day: i32) -> Option<civil::Date> {
    EPOCH.checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_time_and_the_calendar() {
        // Central Europe, written out so that no time zone database is needed.
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        // 27 November 2026, 06:24:38 UTC.
        let winter = at(1_795_760_678_000, berlin.clone());
        assert_eq!((winter.day, winter.second), (20_784, 7 * 3600 + 24 * 60 + 38));
        assert_eq!(winter.weekday(), 4);
        // 1 July 2026, 23:30:00 UTC is the next day there.
        let summer = at(1_782_948_600_000, berlin);
        assert_eq!((summer.day, summer.second), (20_636, 3600 + 30 * 60));
        assert_eq!(
            (name(20_784), name(0), name(-1)),
            ("2026-11-27".into(), "1970-01-01".into(), "1969-12-31".into())
        );
        assert_eq!(local(midnight(20_784)), Local { day: 20_784, second: 0 });
    }
}
