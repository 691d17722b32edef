//! What the process says: to the node over its standard output, and what the program says to the world.

use crate::checkpoint::Said;
use crate::run::{RunError, StreamKind};
use crate::sandbox::STDERR_TAIL;
use crate::sandbox::protocol::{Finished, FromWorker, write_frame};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Log bytes are sent on in pieces of at most this, or when they are this old.
const PIECE: usize = 16 * 1024;
const AGE: Duration = Duration::from_millis(100);
/// Log bytes a second that are sent on; what is more is counted and left out, so that a program that prints 10 GB costs
/// the node nothing.
const RATE: f64 = 512.0 * 1024.0;
const BURST: f64 = 1024.0 * 1024.0;
/// Most notes of a run.
const NOTES: u32 = 20;
/// How a line on standard error sets the progress.
const PROGRESS: &[u8] = b"fog:progress ";
/// Longest such line.
const PROGRESS_LINE: usize = 48;

/// The one voice of the process: after the last word nothing more is said. Clones are the same voice.
#[derive(Clone, Default)]
pub(super) struct Report(Arc<Mutex<Spoken>>);

#[derive(Default)]
struct Spoken {
    ended: bool,
    notes: u32,
    logs: [Vec<u8>; 2],
    since: Option<Instant>,
    /// What may still be sent now, and when that was.
    allowance: Option<(f64, Instant)>,
    left_out: u64,
}

impl Report {
    fn lock(&self) -> MutexGuard<'_, Spoken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, message: &FromWorker) -> io::Result<()> {
        let mut spoken = self.lock();
        spoken.flush();
        spoken.send(message)
    }

    pub(super) fn note(&self, text: &str) {
        let mut spoken = self.lock();
        spoken.notes += 1;
        if spoken.notes <= NOTES {
            let _ = spoken.send(&FromWorker::Note(text.chars().take(300).collect()));
        }
    }

    pub(super) fn log(&self, stream: StreamKind, bytes: &[u8]) {
        let mut spoken = self.lock();
        let allowed = spoken.allowed(bytes.len());
        spoken.left_out += (bytes.len() - allowed) as u64;
        let index = usize::from(stream == StreamKind::Stderr);
        for part in bytes[..allowed].chunks(PIECE) {
            spoken.logs[index].extend_from_slice(part);
            spoken.since.get_or_insert_with(Instant::now);
            if spoken.logs[index].len() >= PIECE {
                spoken.flush();
            }
        }
    }

    /// Sends what has waited long enough; called every few milliseconds.
    pub(super) fn tick(&self) {
        let mut spoken = self.lock();
        if spoken.since.is_some_and(|since| since.elapsed() > AGE) {
            spoken.flush();
        }
    }

    pub(super) fn done(&self, result: Result<Finished, RunError>) -> io::Result<()> {
        let mut spoken = self.lock();
        spoken.flush();
        if spoken.left_out > 0 {
            let note =
                format!("{} bytes of the log were left out: too many in a short time", spoken.left_out);
            let _ = spoken.send(&FromWorker::Note(note));
        }
        let sent = spoken.send(&FromWorker::Done(result));
        spoken.ended = true;
        sent
    }
}

impl Spoken {
    fn send(&mut self, message: &FromWorker) -> io::Result<()> {
        if self.ended { Ok(()) } else { write_frame(&mut io::stdout(), message) }
    }

    fn flush(&mut self) {
        self.since = None;
        for (index, stdout) in [(0, true), (1, false)] {
            let bytes = std::mem::take(&mut self.logs[index]);
            if !bytes.is_empty() {
                // A broken pipe means that the node is gone, and this process soon too.
                let _ = self.send(&FromWorker::Log { stdout, bytes });
            }
        }
    }

    /// How many of `wanted` bytes may be sent.
    fn allowed(&mut self, wanted: usize) -> usize {
        let now = Instant::now();
        let (before, at) = self.allowance.unwrap_or((BURST, now));
        let have = (before + (now - at).as_secs_f64() * RATE).min(BURST);
        let allowed = wanted.min(have as usize);
        self.allowance = Some((have - allowed as f64, now));
        allowed
    }
}

/// A program's standard output and error: a file, the end of what was said, the log, the progress.
pub(super) struct Voice {
    report: Report,
    file: BufWriter<File>,
    tail: VecDeque<u8>,
    /// The beginning of a line on standard error that may set the progress.
    line: Vec<u8>,
    at_line_start: bool,
}

impl Voice {
    pub(super) fn new(report: Report, stdout: File) -> Self {
        let file = BufWriter::with_capacity(64 * 1024, stdout);
        Self { report, file, tail: VecDeque::new(), line: Vec::new(), at_line_start: true }
    }

    /// Goes on after what an earlier segment wrote. What the module's start function has said in this process is forgotten:
    /// it said it in the first segment, too.
    pub(super) fn go_on(&mut self, stdout: &[u8], said: &Said) -> Result<(), RunError> {
        use std::io::{Seek, SeekFrom};
        self.file.seek(SeekFrom::Start(0)).map_err(|e| disk(&e))?;
        self.file.get_mut().set_len(0).map_err(|e| disk(&e))?;
        self.file.write_all(stdout).map_err(|e| disk(&e))?;
        let tail = &said.tail[said.tail.len().saturating_sub(STDERR_TAIL)..];
        self.tail = tail.iter().copied().collect();
        self.at_line_start = said.line.is_some();
        // Too long or of other bytes than a line that sets the progress: it is looked at byte by byte, as it was at first.
        self.line.clear();
        if let Some(line) = &said.line {
            self.stderr(&line[..line.len().min(PROGRESS_LINE)]);
        }
        Ok(())
    }

    /// What a checkpoint keeps of standard error.
    pub(super) fn said(&self) -> Said {
        Said { tail: self.tail(), line: self.at_line_start.then(|| self.line.clone()) }
    }

    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.iter().copied().collect()
    }

    /// All of standard output so far.
    pub(super) fn read_back(&mut self) -> Result<Vec<u8>, RunError> {
        use std::io::{Read, Seek, SeekFrom};
        self.file.flush().map_err(|e| disk(&e))?;
        let file = self.file.get_mut();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).map_err(|e| disk(&e))?;
        file.read_to_end(&mut bytes).map_err(|e| disk(&e))?;
        file.seek(SeekFrom::End(0)).map_err(|e| disk(&e))?;
        Ok(bytes)
    }

    /// Writes what is still in memory.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        let line = std::mem::take(&mut self.line);
        self.complain(&line);
        self.file.flush().map_err(|e| disk(&e))
    }

    /// Standard error, without the lines that set the progress.
    fn stderr(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if !self.at_line_start {
                let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                let (line, more) = rest.split_at(end);
                self.at_line_start = line.ends_with(b"\n");
                self.complain(line);
                rest = more;
                continue;
            }
            self.line.push(rest[0]);
            rest = &rest[1..];
            let known = self.line.len().min(PROGRESS.len());
            let ends = self.line.ends_with(b"\n");
            if self.line[..known] != PROGRESS[..known] || (self.line.len() > PROGRESS_LINE && !ends) {
                let line = std::mem::take(&mut self.line);
                self.at_line_start = ends;
                self.complain(&line);
            } else if ends {
                let line = std::mem::take(&mut self.line);
                match progress(&line) {
                    Some(permille) => drop(self.report.say(&FromWorker::Progress(permille))),
                    None => self.complain(&line),
                }
            }
        }
    }

    fn complain(&mut self, bytes: &[u8]) {
        self.report.log(StreamKind::Stderr, bytes);
        let bytes = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(STDERR_TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(bytes);
    }
}

impl super::wasi::Streams for Voice {
    fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> Result<(), RunError> {
        match stream {
            StreamKind::Stdout => {
                self.file.write_all(bytes).map_err(|e| disk(&e))?;
                self.report.log(stream, bytes);
            }
            StreamKind::Stderr => self.stderr(bytes),
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.report.note(text);
    }
}

/// The number of a line `fog:progress 0.37`, in thousandths.
fn progress(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line.strip_prefix(PROGRESS)?).ok()?;
    let part: f64 = text.trim().parse().ok().filter(|part: &f64| part.is_finite())?;
    Some((part.clamp(0.0, 1.0) * 1000.0).round() as u16)
}

fn disk(error: &io::Error) -> RunError {
    RunError::Device(format!("the output cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_nothing_else() {
        assert_eq!(progress(b"fog:progress 0.37\n"), Some(370));
        assert_eq!(progress(b"fog:progress 7\r\n"), Some(1000));
        assert_eq!(progress(b"fog:progress -1\n"), Some(0));
        for line in
            [&b"fog:progress NaN\n"[..], b"fog:progress\n", b"fog:progress x\n", b"hello\n", b"\xff\n"]
        {
            assert_eq!(progress(line), None);
        }
    }

    #[test]
    fn lines_that_set_the_progress_are_not_kept() {
        let report = Report::default();
        report.lock().ended = true;
        let mut voice = Voice::new(report, tempfile::tempfile().unwrap());
        for part in ["he", "llo\nfog:pro", "gress 0.5\nfog:prop", "er\nfog:progress ", "x\nlast"] {
            voice.stderr(part.as_bytes());
        }
        voice.finish().unwrap();
        assert_eq!(voice.tail(), b"hello\nfog:proper\nfog:progress x\nlast");
    }

    #[test]
    fn a_line_goes_on_where_it_was() {
        let text = b"one\nfog:progress 0.5\nfog:prop\ntwo fog:progress 0.7\nfog:progress ";
        let quiet = || {
            let report = Report::default();
            report.lock().ended = true;
            Voice::new(report, tempfile::tempfile().unwrap())
        };
        let mut whole = quiet();
        whole.stderr(text);
        whole.finish().unwrap();
        for at in 0..=text.len() {
            let (mut first, mut second) = (quiet(), quiet());
            first.stderr(&text[..at]);
            second.stderr(b"of the start function");
            second.go_on(b"", &first.said()).unwrap();
            second.stderr(&text[at..]);
            second.finish().unwrap();
            assert_eq!(second.tail(), whole.tail(), "cut at {at}");
        }
    }

    #[test]
    fn what_the_start_function_wrote_is_not_there_twice() {
        use super::super::wasi::Streams;
        let report = Report::default();
        report.lock().ended = true;
        let mut voice = Voice::new(report, tempfile::tempfile().unwrap());
        voice.write(StreamKind::Stdout, b"begun, and more than was kept").unwrap();
        voice.go_on(b"begun, then", &Said::default()).unwrap();
        voice.write(StreamKind::Stdout, b" ended").unwrap();
        assert_eq!(voice.read_back().unwrap(), b"begun, then ended");
    }

    #[test]
    fn a_flood_is_cut() {
        let mut spoken = Spoken::default();
        let sent: usize = (0..1000).map(|_| spoken.allowed(1 << 20)).sum();
        assert!((1 << 20..3 << 20).contains(&sent), "{sent}");
    }
}
