//! The week's hours in which the device may work, by the owner's own clock.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY_SECONDS: u32 = 24 * 60 * 60;
const WEEK_SECONDS: u32 = 7 * DAY_SECONDS;

/// The owner's wall clock, with time zone and summer time already in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Local {
    /// Days since 1 January 1970 of the local calendar.
    pub day: i32,
    /// Seconds since local midnight.
    pub second: u32,
}

impl Local {
    /// 0 is Monday, 6 is Sunday. The first day of 1970 was a Thursday.
    pub fn weekday(self) -> u8 {
        (self.day.wrapping_add(3)).rem_euclid(7) as u8
    }

    /// Seconds since Monday, 0:00.
    fn of_week(self) -> u32 {
        u32::from(self.weekday()) * DAY_SECONDS + self.second.min(DAY_SECONDS - 1)
    }
}

/// Hours of one weekday. They may end on the next day: 22:00 to 7:00 of Friday ends on Saturday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The day on which it begins: 0 is Monday, 6 is Sunday.
    pub day: u8,
    /// Where it begins, minutes since midnight.
    pub from: u16,
    /// Where it ends, minutes since midnight, 1440 at most; at or before the beginning, it ends on the next day.
    pub to: u16,
}

impl Window {
    /// Start in the week and length, both in seconds.
    fn span(self) -> (u32, u32) {
        let minutes = |m: u16| u32::from(m.min(1440)) * 60;
        let (from, to) = (minutes(self.from), minutes(self.to));
        let length = if to > from { to - from } else { to + DAY_SECONDS - from };
        (u32::from(self.day % 7) * DAY_SECONDS + from, length)
    }

    /// Seconds left in it at this second of the week; none if it is not on.
    fn left(self, now: u32) -> Option<u32> {
        let (start, length) = self.span();
        let since = (now + WEEK_SECONDS - start % WEEK_SECONDS) % WEEK_SECONDS;
        (since < length).then(|| length - since)
    }

    /// Seconds until it begins, at this second of the week.
    fn until(self, now: u32) -> u32 {
        (self.span().0 % WEEK_SECONDS + WEEK_SECONDS - now) % WEEK_SECONDS
    }
}

/// Where a moment stands in the week's hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No hours are set: always.
    Always,
    /// Within, for so long at least.
    Within(Duration),
    /// Outside; the next ones begin after so long.
    Outside(Duration),
}

/// All hours of a week. None means: always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(pub Vec<Window>);

impl Hours {
    /// Where this moment stands.
    pub fn standing(&self, at: Local) -> Standing {
        let now = at.of_week();
        if self.0.is_empty() {
            return Standing::Always;
        }
        let seconds = |s: u32| Duration::from_secs(s.into());
        match self.0.iter().filter_map(|window| window.left(now)).max() {
            Some(left) => Standing::Within(seconds(left)),
            None => {
                let next = self.0.iter().map(|window| window.until(now)).min();
                Standing::Outside(seconds(next.unwrap_or(WEEK_SECONDS)))
            }
        }
    }

    /// True if this moment is within, or no hours are set.
    pub fn contains(&self, at: Local) -> bool {
        !matches!(self.standing(at), Standing::Outside(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Monday, 5 January 1970.
    const MONDAY: i32 = 4;

    fn at(day: i32, hour: u32, minute: u32) -> Local {
        Local { day: MONDAY + day, second: hour * 3600 + minute * 60 }
    }

    #[test]
    fn the_weekday_of_known_days() {
        // 27 November 2026 is a Friday.
        assert_eq!(Local { day: 20_784, second: 0 }.weekday(), 4);
        assert_eq!(at(0, 0, 0).weekday(), 0);
        assert_eq!(Local { day: -1, second: 0 }.weekday(), 2, "the last day of 1969 was a Wednesday");
    }

    #[test]
    fn a_night_ends_on_the_next_day_and_sunday_ends_on_monday() {
        let hours = Hours(vec![
            Window { day: 4, from: 22 * 60, to: 7 * 60 },
            Window { day: 6, from: 22 * 60, to: 7 * 60 },
        ]);
        assert_eq!(hours.standing(at(4, 21, 59)), Standing::Outside(Duration::from_secs(60)));
        assert_eq!(hours.standing(at(4, 22, 0)), Standing::Within(Duration::from_secs(9 * 3600)));
        assert!(hours.contains(at(5, 6, 59)) && !hours.contains(at(5, 7, 0)));
        assert!(hours.contains(at(0, 6, 59)), "Sunday's night is on Monday's morning");
        assert!(!hours.contains(at(0, 7, 0)));
        assert!(!hours.contains(at(3, 23, 0)), "Thursday has none");
    }

    #[test]
    fn whole_days_and_no_hours() {
        let hours = Hours(vec![Window { day: 5, from: 0, to: 1440 }]);
        assert!(
            !hours.contains(at(4, 23, 59)) && hours.contains(at(5, 0, 0)) && hours.contains(at(5, 23, 59))
        );
        assert!(!hours.contains(at(6, 0, 0)));
        assert_eq!(Hours::default().standing(at(0, 0, 0)), Standing::Always);
        // The same beginning and end are a whole day.
        assert!(Hours(vec![Window { day: 0, from: 600, to: 600 }]).contains(at(1, 9, 59)));
    }

    proptest! {
        /// Against a plain walk over the minutes of the week.
        #[test]
        fn as_the_minutes_say(
            windows in proptest::collection::vec((0u8..7, 0u16..1440, 0u16..=1440), 1..5),
            minute in 0u32..7 * 1440
        ) {
            let hours = Hours(windows.iter().map(|&(day, from, to)| Window { day, from, to }).collect());
            let on = |minute: u32| windows.iter().any(|&(day, from, to)| {
                let start = u32::from(day) * 1440 + u32::from(from);
                let length = if to > from { to - from } else { to + 1440 - from };
                (0..u32::from(length)).any(|m| (start + m) % (7 * 1440) == minute)
            });
            let local = at((minute / 1440) as i32, minute % 1440 / 60, minute % 60);
            prop_assert_eq!(hours.contains(local), on(minute));
            if let Standing::Outside(wait) = hours.standing(local) {
                prop_assert!(on((minute + wait.as_secs() as u32 / 60) % (7 * 1440)));
            }
        }
    }
}
