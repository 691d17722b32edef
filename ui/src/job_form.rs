//! What the form for a new job says, and what dropped files are to be. Pure.

use fog_api::{Amount, JobArray, JobLimits};

/// Elements of an array at most, as the node has it.
const MOST_ELEMENTS: u32 = 10_000;

/// The numbers of the form.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Longest run, seconds.
    pub seconds: String,
    /// MiB.
    pub memory: String,
    /// MiB.
    pub output: String,
    /// Cores, with a decimal point.
    pub cores: String,
}

impl Default for Numbers {
    fn default() -> Self {
        let limits = JobLimits::default();
        Self {
            seconds: limits.seconds.to_string(),
            memory: limits.memory_mib.to_string(),
            output: limits.output_mib.to_string(),
            cores: format!("{}", f64::from(limits.millicores) / 1000.0),
        }
    }
}

impl Numbers {
    /// The limits, or what is wrong with the numbers.
    ///
    /// # Errors
    /// A sentence for the person.
    pub fn limits(&self) -> Result<JobLimits, String> {
        let cores = self.cores.trim().parse::<f64>().ok().filter(|n| (0.5..=16.0).contains(n));
        Ok(JobLimits {
            seconds: whole(&self.seconds, "The run time")?,
            memory_mib: whole(&self.memory, "The memory")?,
            output_mib: whole(&self.output, "The output")?,
            millicores: (cores.ok_or("The cores must be a number from 0.5 to 16.")? * 1000.0).round() as u32,
            ..JobLimits::default()
        })
    }
}

fn whole(text: &str, what: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{what} must be a whole number above 0.")),
    }
}

/// A price limit; none where the field is empty.
///
/// # Errors
/// A sentence for the person.
pub fn price(text: &str) -> Result<Option<Amount>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|e| format!("The price limit is {e}.")),
    }
}

/// `0-99`; none where the field is empty.
///
/// # Errors
/// A sentence for the person.
pub fn array(text: &str) -> Result<Option<JobArray>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (first, last) = text.split_once(['-', '–']).unwrap_or((text, text));
    match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
        (Ok(first), Ok(last)) if first > last => Err("The array's first index is above its last.".into()),
        (Ok(first), Ok(last)) if last - first >= MOST_ELEMENTS => {
            Err(format!("An array has at most {MOST_ELEMENTS} elements."))
        }
        (Ok(first), Ok(last)) => Ok(Some(JobArray { first, last })),
        _ => Err("The array takes two whole numbers, such as 0-99.".into()),
    }
}

/// `NAME=VALUE` on each line.
///
/// # Errors
/// A sentence for the person.
pub fn env(text: &str) -> Result<Vec<(String, String)>, String> {
    lines(text)
        .into_iter()
        .map(|line| match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
            _ => Err(format!("An environment variable is written NAME=VALUE, not {line:?}.")),
        })
        .collect()
}

/// Minutes from now as a time; none where the field is empty.
///
/// # Errors
/// A sentence for the person.
pub fn deadline(text: &str, now: f64) -> Result<Option<f64>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(minutes) if minutes > 0.0 && minutes.is_finite() => Ok(Some(now + minutes * 60.0)),
            _ => Err("The deadline must be a number of minutes above 0.".into()),
        },
    }
}

/// The lines of a field that are not empty.
pub fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect()
}

/// What files that were dropped together are: the program, if there is one among them, and each input with its name
/// below `/in`. Files are named by their places in `paths`.
///
/// The program is the module that is nearest to the top; of several there the first by name. A folder that holds
/// everything does not show in the inputs' names.
pub fn sort_out(paths: &[String]) -> (Option<usize>, Vec<(usize, String)>) {
    let depth = |p: &str| p.matches('/').count();
    let is_module = |p: &str| p.rsplit('/').next().is_some_and(|n| n.to_ascii_lowercase().ends_with(".wasm"));
    let module = (0..paths.len())
        .filter(|i| is_module(&paths[*i]))
        .min_by(|a, b| depth(&paths[*a]).cmp(&depth(&paths[*b])).then_with(|| paths[*a].cmp(&paths[*b])));
    let top = paths.first().and_then(|p| p.split_once('/')).map(|(top, _)| format!("{top}/"));
    let top = top.filter(|top| paths.iter().all(|p| p.starts_with(top.as_str())));
    let inputs = (0..paths.len()).filter(|i| Some(*i) != module);
    let name = |i: usize| {
        let path = paths[i].as_str();
        top.as_deref().and_then(|t| path.strip_prefix(t)).unwrap_or(path).to_owned()
    };
    (module, inputs.map(|i| (i, name(i))).collect())
}

/// The kind of picture that a file is by its first bytes, of those that a page may show: they hold pixels and no program.
pub fn picture(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The beginning of a file as text, if it is text; `whole` says that there is no more. A letter that is cut in the middle is
/// left out.
pub fn text(start: &[u8], whole: bool) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() && !whole => std::str::from_utf8(&start[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    (!text.chars().any(odd)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_told() {
        assert_eq!(Numbers::default().limits(), Ok(JobLimits::default()));
        let numbers = |cores: &str, memory: &str| {
            Numbers { cores: cores.into(), memory: memory.into(), ..Numbers::default() }.limits()
        };
        assert_eq!(numbers("2.5", " 64 ").unwrap().millicores, 2500);
        assert_eq!(numbers("2.5", " 64 ").unwrap().memory_mib, 64);
        assert!(numbers("17", "1").unwrap_err().contains("cores"));
        assert!(numbers("NaN", "1").unwrap_err().contains("cores"));
        assert!(numbers("1", "0").unwrap_err().contains("memory"));
    }

    #[test]
    fn arrays_prices_variables_and_deadlines() {
        assert_eq!(array(""), Ok(None));
        assert_eq!(array(" 0 - 99 "), Ok(Some(JobArray { first: 0, last: 99 })));
        assert_eq!(array("5"), Ok(Some(JobArray { first: 5, last: 5 })));
        assert!(array("9-0").unwrap_err().contains("above"));
        assert!(array("0-10000").unwrap_err().contains("10000"));
        assert!(array("0-9999").is_ok());
        assert!(array("a-b").is_err());
        assert_eq!(price(" "), Ok(None));
        assert!(price("a lot").is_err());
        assert_eq!(env("A=1\n\n B = 2=3"), Ok(vec![("A".into(), "1".into()), ("B".into(), " 2=3".into())]));
        assert!(env("A").is_err() && env("=1").is_err());
        assert_eq!(deadline("1.5", 100.0), Ok(Some(190.0)));
        assert!(deadline("0", 0.0).is_err() && deadline("inf", 0.0).is_err());
    }

    #[test]
    fn dropped_files_become_program_and_inputs() {
        let paths = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(sort_out(&paths(&["count.wasm"])), (Some(0), vec![]));
        assert_eq!(sort_out(&paths(&["a.txt", "Count.WASM"])), (Some(1), vec![(0, "a.txt".into())]));
        // One folder: its name is not part of the inputs' names.
        assert_eq!(
            sort_out(&paths(&["job/in/z.txt", "job/run.wasm", "job/lib/other.wasm"])),
            (Some(1), vec![(0, "in/z.txt".into()), (2, "lib/other.wasm".into())])
        );
        // Two folders keep theirs.
        assert_eq!(sort_out(&paths(&["a/1", "b/1"])), (None, vec![(0, "a/1".into()), (1, "b/1".into())]));
        assert_eq!(sort_out(&[]), (None, vec![]));
    }

    #[test]
    fn pictures_and_text_are_told_by_their_bytes() {
        assert_eq!(picture(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(picture(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(picture(b"RIFF1234WEBPVP8 "), Some("image/webp"));
        assert_eq!(picture(b"<svg onload=alert(1)>"), None);
        assert_eq!(picture(b""), None);
        assert_eq!(text("Grüße\n".as_bytes(), true), Some("Grüße\n"));
        assert_eq!(text(&"Grü".as_bytes()[..3], false), Some("Gr"));
        assert_eq!(text(&"Grü".as_bytes()[..3], true), None);
        assert_eq!(text(b"a\0b", true), None);
        assert_eq!(text(b"\xff\xfe", false), None);
    }
}
