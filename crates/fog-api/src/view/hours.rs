//! Hours of the week, as a person writes them: `22-7`, `mon-fri 18:30-8, sat-sun 0-24`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WHOLE_DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DAY_MINUTES: u16 = 24 * 60;
/// More windows are no week of a person's.
const MOST: usize = 64;

/// Hours of one weekday. At or before their beginning, they end on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoursWindow {
    /// The day on which it begins: 0 is Monday, 6 is Sunday.
    pub day: u8,
    /// Where it begins, minutes since midnight.
    pub from: u16,
    /// Where it ends, minutes since midnight, 1440 at most.
    pub to: u16,
}

/// All hours of a week; none is always. In JSON it is the text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeekHours(Vec<HoursWindow>);

impl WeekHours {
    /// The windows, by day and beginning.
    pub fn windows(&self) -> &[HoursWindow] {
        &self.0
    }

    /// These windows, in order and each once.
    ///
    /// # Errors
    /// One of them is no window of a week, or they are too many.
    pub fn new(mut windows: Vec<HoursWindow>) -> Result<Self, BadHours> {
        windows.sort_unstable();
        windows.dedup();
        let wrong = windows
            .iter()
            .any(|w| w.day > 6 || w.from >= DAY_MINUTES || w.to > DAY_MINUTES || w.from == w.to);
        if wrong || windows.len() > MOST {
            return Err(BadHours(format!("{} windows", windows.len())));
        }
        Ok(Self(windows))
    }

    /// The windows of one day, 0 is Monday.
    pub fn of_day(&self, day: u8) -> impl Iterator<Item = HoursWindow> + '_ {
        self.0.iter().copied().filter(move |w| w.day == day)
    }
}

/// A text that means no hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHours(String);

impl BadHours {
    /// This text means none.
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

impl fmt::Display for BadHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} are no hours of a week: write for instance 22-7, or mon-fri 18:30-8, sat-sun 0-24, or always",
            self.0
        )
    }
}

impl std::error::Error for BadHours {}

impl FromStr for WeekHours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let bad = || BadHours::new(text);
        let plain = text.trim().to_lowercase();
        if plain.is_empty() || plain == "always" {
            return Ok(Self::default());
        }
        let mut windows = Vec::new();
        // Days stay in force until others are named: "sat 0-2, 20-24".
        let mut days: Vec<u8> = (0..7).collect();
        for part in plain.split([',', ';']) {
            let mut words = part.split_whitespace();
            let mut times = words.next().ok_or_else(bad)?;
            if times.starts_with(|c: char| c.is_ascii_alphabetic()) {
                days = parse_days(times).ok_or_else(bad)?;
                times = words.next().ok_or_else(bad)?;
            }
            if words.next().is_some() || windows.len() > MOST {
                return Err(bad());
            }
            let (from, to) = times.split_once('-').ok_or_else(bad)?;
            let (from, to) = (parse_time(from).ok_or_else(bad)?, parse_time(to).ok_or_else(bad)?);
            windows.extend(days.iter().map(|day| HoursWindow { day: *day, from, to }));
        }
        Self::new(windows).map_err(|_| bad())
    }
}

fn parse_days(text: &str) -> Option<Vec<u8>> {
    let day = |name: &str| {
        let meant = |full: &&str| name.len() >= 3 && full.starts_with(name);
        WHOLE_DAYS.iter().position(meant).map(|i| i as u8)
    };
    if matches!(text, "daily" | "every") {
        return Some((0..7).collect());
    }
    let Some((first, last)) = text.split_once('-') else { return day(text).map(|d| vec![d]) };
    let (first, last) = (day(first)?, day(last)?);
    // Saturday to Monday goes over the week's end.
    let length = (last + 7 - first) % 7;
    Some((0..=length).map(|i| (first + i) % 7).collect())
}

fn parse_time(text: &str) -> Option<u16> {
    let digits =
        |text: &str| (!text.is_empty() && text.len() <= 2).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = match text.split_once(':') {
        Some((hour, minute)) => (digits(hour)?, digits(minute)?),
        None => (digits(text)?, 0),
    };
    let minutes = hour * 60 + minute;
    (hour <= 24 && minute < 60 && minutes <= DAY_MINUTES).then_some(minutes)
}

impl fmt::Display for WeekHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("always");
        }
        let times = |day: u8| self.of_day(day).map(|w| (w.from, w.to)).collect::<Vec<_>>();
        let (mut day, mut first) = (0u8, true);
        while day < 7 {
            let own = times(day);
            // Neighbours with the same hours are one line.
            let mut last = day;
            while last < 6 && times(last + 1) == own {
                last += 1;
            }
            for (from, to) in own {
                f.write_str(if std::mem::take(&mut first) { "" } else { ", " })?;
                match (day, last) {
                    (0, 6) => {}
                    (a, b) if a == b => write!(f, "{} ", DAYS[usize::from(a)])?,
                    (a, b) => write!(f, "{}-{} ", DAYS[usize::from(a)], DAYS[usize::from(b)])?,
                }
                write!(f, "{}-{}", clock(from), clock(to))?;
            }
            day = last + 1;
        }
        Ok(())
    }
}

/// Minutes since midnight as `22:30`.
pub fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl TryFrom<String> for WeekHours {
    type Error = BadHours;

    fn try_from(text: String) -> Result<Self, BadHours> {
        text.parse()
    }
}

impl From<WeekHours> for String {
    fn from(hours: WeekHours) -> Self {
        hours.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes() {
        let read = |text: &str| text.parse::<WeekHours>().map(|h| h.to_string());
        for (text, canonical) in [
            ("", "always"),
            ("Always", "always"),
            ("22-7", "22:00-07:00"),
            ("mon-fri 18:30-8, sat-sun 0-24", "mon-fri 18:30-08:00, sat-sun 00:00-24:00"),
            ("Saturday 0-2, 20-24; sun 5-6", "sat 00:00-02:00, sat 20:00-24:00, sun 05:00-06:00"),
            ("sat-mon 1-2", "mon 01:00-02:00, sat-sun 01:00-02:00"),
            ("daily 9-17", "09:00-17:00"),
            ("thurs-friday 1-2", "thu-fri 01:00-02:00"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(canonical), "{text}");
            assert_eq!(read(canonical).as_deref(), Ok(canonical), "{canonical}");
        }
        for bad in [
            "22",
            "25-7",
            "22-7-8",
            "mon",
            "mon 5",
            "xyz 5-6",
            "5-5",
            "1:60-2",
            "5-6 7",
            ",",
            "é-f 1-2",
            "-1-5",
            "monkey 1-2",
            "mon-mon-mon 1-2",
            "mo 1-2",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let long = "1-2,".repeat(10_000);
        assert!(read(&long).is_err());
    }

    #[test]
    fn in_json_it_is_the_text() {
        let hours: WeekHours = "mon 22-7".parse().unwrap();
        let json = serde_json::to_string(&hours).unwrap();
        assert_eq!(json, "\"mon 22:00-07:00\"");
        assert_eq!(serde_json::from_str::<WeekHours>(&json).unwrap(), hours);
        assert!(serde_json::from_str::<WeekHours>("\"sometimes\"").is_err());
    }
}
