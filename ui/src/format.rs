//! Numbers and times as people read them.

use fog_api::{Amount, Seconds};

/// How long ago (or in how long) `time` is, seen from `now`: "just now", "5 min ago", "in 2 h".
pub fn relative(time: Seconds, now: Seconds) -> String {
    let distance = now - time;
    if distance.abs() < 45.0 {
        return "just now".into();
    }
    let text = rough(distance.abs());
    if distance < 0.0 { format!("in {text}") } else { format!("{text} ago") }
}

/// The shortest form for a narrow column: "now", "5m", "2h", "3d".
pub fn relative_short(time: Seconds, now: Seconds) -> String {
    let s = (now - time).max(0.0);
    match s {
        s if s < 60.0 => "now".into(),
        s if s < 3600.0 => format!("{}m", (s / 60.0) as u64),
        s if s < 86_400.0 => format!("{}h", (s / 3600.0) as u64),
        _ => format!("{}d", (s / 86_400.0) as u64),
    }
}

/// A length of time in its largest fitting unit: "5 min", "2 h", "3 days".
pub fn rough(s: f64) -> String {
    let count = |n: f64, one: &str, many: &str| {
        let n = n.round().max(1.0) as u64;
        if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
    };
    match s {
        s if s < 59.5 => count(s, "s", "s"),
        s if s < 3570.0 => count(s / 60.0, "min", "min"),
        s if s < 84_600.0 => count(s / 3600.0, "h", "h"),
        s if s < 30.0 * 86_400.0 => count(s / 86_400.0, "day", "days"),
        s if s < 345.0 * 86_400.0 => count(s / (30.44 * 86_400.0), "month", "months"),
        _ => count(s / (365.25 * 86_400.0), "year", "years"),
    }
}

/// What is left until a time, to the second: "0:42", "3:05", "2:10:00", "4 days 3 h". Never negative.
pub fn countdown(left: Seconds) -> String {
    let s = left.max(0.0).ceil() as u64;
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        (1, _) => format!("1 day {hours} h"),
        _ => format!("{days} days {hours} h"),
    }
}

/// A measured length of time: "85 ms", "1.2 s", "3 min 5 s", "2 h 10 min", "4 days 3 h".
pub fn duration(seconds: Seconds) -> String {
    let s = seconds.max(0.0);
    let two = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        _ => format!("{large} {one} {small} {other}"),
    };
    let n = s as u64;
    match s {
        s if s < 0.9995 => format!("{} ms", (s * 1000.0).round() as u64),
        s if s < 59.95 => format!("{} s", decimals(s, 1)),
        s if s < 3600.0 => two(n / 60, "min", n % 60, "s"),
        s if s < 86_400.0 => two(n / 3600, "h", n / 60 % 60, "min"),
        _ => two(n / 86_400, if n < 172_800 { "day" } else { "days" }, n / 3600 % 24, "h"),
    }
}

/// A size in decimal units: "512 B", "3.4 KB", "1.2 MB".
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 99.95 { 1 } else { 0 };
    format!("{} {}", decimals(value, digits), UNITS[unit])
}

/// A size in MB whatever it is, for sizes that are compared with one another.
pub fn megabytes(n: u64) -> String {
    format!("{} MB", count((n + 500_000) / 1_000_000))
}

/// A share as whole percent, where only nothing is 0 % and only everything is 100 %.
pub fn percent(share: f64) -> String {
    let p = (share * 100.0).clamp(0.0, 100.0);
    let shown = match p.round() {
        0.0 if p > 0.0 => 1.0,
        100.0 if p < 100.0 => 99.0,
        r => r,
    };
    format!("{shown:.0} %")
}

/// A share as percent with one decimal, for results that are decided by little.
pub fn percent_exact(share: f64) -> String {
    format!("{} %", decimals((share * 100.0).clamp(0.0, 100.0), 1))
}

/// A whole number with its thousands separated.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// One thing or several: "1 contact", "3 contacts".
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A temperature.
pub fn celsius(t: f64) -> String {
    format!("{t:.0} °C")
}

/// An amount with its unit.
pub fn fog(amount: Amount) -> String {
    format!("{amount} FOG")
}

/// The share of `part` in `whole`; nothing of nothing is nothing.
pub fn share(part: Amount, whole: Amount) -> f64 {
    if whole.0 == 0 { 0.0 } else { part.0 as f64 / whole.0 as f64 }
}

/// The beginning of an id, enough to tell it from others on one screen.
pub fn short_id(id: &str) -> String {
    match id.char_indices().nth(10) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.into(),
    }
}

/// The first letters of a name, for a round picture.
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|w| w.chars().next());
    let first = words.next();
    let last = words.next_back();
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

/// At most `digits` decimals, without needless zeros.
fn decimals(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_look_both_ways() {
        let now = 1_000_000.0;
        for (time, text) in [
            (now, "just now"),
            (now - 44.0, "just now"),
            (now - 60.0, "1 min ago"),
            (now - 7200.0, "2 h ago"),
            (now - 86_400.0, "1 day ago"),
            (now - 40.0 * 86_400.0, "1 month ago"),
            (now + 300.0, "in 5 min"),
            (now - 800.0 * 86_400.0, "2 years ago"),
        ] {
            assert_eq!(relative(time, now), text);
        }
        assert_eq!(relative_short(now - 61.0, now), "1m");
        assert_eq!(relative_short(now + 5.0, now), "now");
    }

    #[test]
    fn countdowns_end_at_zero() {
        for (left, text) in [
            (-3.0, "0:00"),
            (0.2, "0:01"),
            (42.0, "0:42"),
            (185.0, "3:05"),
            (7800.0, "2:10:00"),
            (90_000.0, "1 day 1 h"),
            (4.0 * 86_400.0 + 3.0 * 3600.0, "4 days 3 h"),
        ] {
            assert_eq!(countdown(left), text);
        }
    }

    #[test]
    fn durations_and_sizes_choose_their_unit() {
        for (s, text) in [
            (0.0, "0 ms"),
            (0.085, "85 ms"),
            (1.23, "1.2 s"),
            (300.0, "5 min"),
            (185.0, "3 min 5 s"),
            (90_000.0, "1 day 1 h"),
            (7800.0, "2 h 10 min"),
        ] {
            assert_eq!(duration(s), text);
        }
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 KB"),
            (3_400, "3.4 KB"),
            (999_999, "1 MB"),
            (250_000_000, "250 MB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn megabytes_stay_megabytes() {
        assert_eq!(megabytes(0), "0 MB");
        assert_eq!(megabytes(499_999), "0 MB");
        assert_eq!(megabytes(4_187_000_000), "4,187 MB");
    }

    #[test]
    fn percentages_do_not_round_to_certainty() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.001), "1 %");
        assert_eq!(percent(0.999), "99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent_exact(0.60004), "60 %");
    }

    #[test]
    fn names_and_ids_are_shortened() {
        assert_eq!(initials("ada king lovelace"), "AL");
        assert_eq!(initials("Éva"), "É");
        assert_eq!(initials(""), "");
        assert_eq!(short_id("0123456789abcdef"), "0123456789…");
        assert_eq!(short_id("0123"), "0123");
        assert_eq!(plural(1, "job", "jobs"), "1 job");
        assert_eq!(plural(1200, "job", "jobs"), "1,200 jobs");
    }

    #[test]
    fn shares_of_nothing_are_nothing() {
        assert_eq!(share(Amount(0), Amount(0)), 0.0);
        assert_eq!(share(Amount::fog(1), Amount::fog(4)), 0.25);
    }
}
