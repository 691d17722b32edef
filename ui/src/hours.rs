//! The week's hours as seven lines of text, one for each day, and back.

use fog_api::{BadHours, WeekHours, clock};

/// The days as headings.
pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What stands in the lines: `22:00-07:00`, several with commas, nothing for a day without.
pub fn to_lines(hours: &WeekHours) -> [String; 7] {
    std::array::from_fn(|day| {
        let windows = hours.of_day(day as u8).map(|w| format!("{}-{}", clock(w.from), clock(w.to)));
        windows.collect::<Vec<_>>().join(", ")
    })
}

/// The hours that the lines mean.
///
/// # Errors
/// The first line that means none.
pub fn from_lines(lines: &[String; 7]) -> Result<WeekHours, BadHours> {
    let mut windows = Vec::new();
    for (day, line) in lines.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let hours: WeekHours = format!("{} {}", DAYS[day].to_lowercase(), line.trim()).parse()?;
        // A line speaks of its own day, and names none.
        if hours.windows().iter().any(|w| usize::from(w.day) != day) {
            return Err(BadHours::new(line));
        }
        windows.extend_from_slice(hours.windows());
    }
    WeekHours::new(windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let hours: WeekHours = "mon-fri 22-7, sat 0-2, sat 20-24".parse().unwrap();
        let lines = to_lines(&hours);
        assert_eq!(lines[0], "22:00-07:00");
        assert_eq!(lines[5], "00:00-02:00, 20:00-24:00");
        assert_eq!(lines[6], "");
        assert_eq!(from_lines(&lines).unwrap(), hours);
    }

    #[test]
    fn a_line_is_about_its_day() {
        let line = |text: &str| {
            let mut lines: [String; 7] = Default::default();
            lines[2] = text.into();
            from_lines(&lines)
        };
        assert_eq!(line("9-17").unwrap().to_string(), "wed 09:00-17:00");
        for bad in ["sometimes", "9", "fri 9-17", "9-17, fri 3-4", "always"] {
            assert!(line(bad).is_err(), "{bad}");
        }
        assert_eq!(from_lines(&Default::default()).unwrap(), WeekHours::default());
    }
}
