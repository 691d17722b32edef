//! What a program says: standard output into a file within its limit, standard error as its end, both as log events.

use crate::run::{Events, RunError, RunEvent, StreamKind};
use crate::sandbox::STDERR_TAIL;
use bollard::container::LogOutput;
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// Most bytes of standard error in one segment. The engine copies each of them on the owner's processor time.
pub(super) const MAX_LOG: u64 = 256 * 1024 * 1024;

/// The two streams of one run.
pub(super) struct Streams {
    stdout: File,
    written: u64,
    limit: u64,
    logged: u64,
    tail: Vec<u8>,
    progress: ProgressLines,
}

impl Streams {
    /// Goes on at the end of the file.
    pub(super) async fn open(stdout: &Path, limit: u64) -> std::io::Result<Self> {
        let mut file = File::options().write(true).open(stdout).await?;
        let written = file.seek(std::io::SeekFrom::End(0)).await?;
        Ok(Self {
            stdout: file,
            written,
            limit,
            logged: 0,
            tail: Vec::new(),
            progress: ProgressLines::default(),
        })
    }

    /// Bytes of standard output so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Takes what came. `other` is what else counts against the limit.
    pub(super) async fn take(
        &mut self,
        output: LogOutput,
        other: u64,
        events: &mut Events,
    ) -> Result<(), RunError> {
        match output {
            LogOutput::StdErr { message } => {
                self.logged += message.len() as u64;
                let tail = &mut self.tail;
                self.progress.push(&message, &mut |line| match line {
                    Line::Progress(permille) => events.say(RunEvent::Progress { permille }),
                    Line::Text(bytes) => {
                        keep_tail(tail, bytes);
                        events.say(RunEvent::Log { stream: StreamKind::Stderr, bytes: bytes.to_vec() });
                    }
                });
                if self.logged > MAX_LOG {
                    return Err(RunError::OutputLimit(MAX_LOG));
                }
            }
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                let room = self.limit.saturating_sub(self.written.saturating_add(other));
                let fits = usize::try_from(room).unwrap_or(usize::MAX).min(message.len());
                self.stdout
                    .write_all(&message[..fits])
                    .await
                    .map_err(|e| RunError::Device(format!("the output cannot be written: {e}")))?;
                self.written += fits as u64;
                events.say(RunEvent::Log { stream: StreamKind::Stdout, bytes: message[..fits].to_vec() });
                if fits < message.len() {
                    return Err(RunError::OutputLimit(self.limit));
                }
            }
            LogOutput::StdIn { .. } => {}
        }
        Ok(())
    }

    /// Makes sure that the file has everything.
    pub(super) async fn flush(&mut self) -> std::io::Result<()> {
        self.stdout.flush().await?;
        self.stdout.sync_data().await
    }

    /// The end of standard error.
    pub(super) fn stderr_tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
    let surplus = (tail.len() + bytes.len()).saturating_sub(STDERR_TAIL);
    tail.drain(..surplus);
    tail.extend_from_slice(bytes);
}

enum Line<'a> {
    Progress(u16),
    Text(&'a [u8]),
}

/// Finds lines like `fog:progress 0.37` in bytes that come in pieces.
struct ProgressLines {
    held: Vec<u8>,
    at_start: bool,
}

const PREFIX: &[u8] = b"fog:progress ";
/// A longer line says something else.
const MAX_PROGRESS: usize = 64;

impl Default for ProgressLines {
    fn default() -> Self {
        Self { held: Vec::new(), at_start: true }
    }
}

impl ProgressLines {
    fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Line<'_>)) {
        // Text is handed on in pieces as large as they came: there may be very many very short lines.
        let (mut from, mut to) = (0, 0);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let ends = piece.ends_with(b"\n");
            let n = piece.len().min(PREFIX.len());
            if !self.at_start || (self.held.is_empty() && piece[..n] != PREFIX[..n]) {
                self.at_start = ends;
                to += piece.len();
                continue;
            }
            if from < to {
                sink(Line::Text(&bytes[from..to]));
            }
            to += piece.len();
            from = to;
            self.held.extend_from_slice(piece);
            let n = self.held.len().min(PREFIX.len());
            let may_be = self.held[..n] == PREFIX[..n] && self.held.len() <= MAX_PROGRESS;
            if may_be && !ends {
                continue;
            }
            match permille(&self.held) {
                Some(permille) => sink(Line::Progress(permille)),
                None => sink(Line::Text(&self.held)),
            }
            self.held.clear();
            self.at_start = ends;
        }
        if from < to {
            sink(Line::Text(&bytes[from..to]));
        }
    }
}

fn permille(line: &[u8]) -> Option<u16> {
    let number = std::str::from_utf8(line.strip_prefix(PREFIX)?).ok()?.trim();
    let number: f64 = number.parse().ok()?;
    // The cast stays within 0 to 1000.
    (number.is_finite() && line.len() <= MAX_PROGRESS)
        .then(|| (number.clamp(0.0, 1.0) * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(pieces: &[&[u8]]) -> (Vec<u16>, Vec<u8>) {
        let (mut said, mut text) = (Vec::new(), Vec::new());
        let mut lines = ProgressLines::default();
        for piece in pieces {
            lines.push(piece, &mut |line| match line {
                Line::Progress(p) => said.push(p),
                Line::Text(t) => text.extend_from_slice(t),
            });
        }
        (said, text)
    }

    #[test]
    fn progress_is_found_in_pieces() {
        let (said, text) =
            feed(&[b"hello\nfog:pro", b"gress 0.3", b"7\nfog:progress x\n mid fog:progress 1\n"]);
        assert_eq!(said, [370]);
        assert_eq!(text, b"hello\nfog:progress x\n mid fog:progress 1\n");
        assert_eq!(feed(&[b"fog:progress 7\n"]).0, [1000]);
        assert!(feed(&[b"fog:progress NaN\n"]).0.is_empty());
    }

    proptest! {
        #[test]
        fn other_text_passes_unchanged(text in prop::collection::vec(prop::sample::select(b"fog:pres \nx".to_vec()), 0..200), cut in 1usize..9) {
            let mut whole = text.clone();
            whole.push(b'\n');
            let pieces: Vec<&[u8]> = whole.chunks(cut).collect();
            let (said, out) = feed(&pieces);
            prop_assert!(said.is_empty());
            prop_assert_eq!(out, whole);
        }
    }

    #[tokio::test]
    async fn output_stops_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stdout");
        std::fs::write(&file, b"before").unwrap();
        let mut streams = Streams::open(&file, 20).await.unwrap();
        let out = |n: usize| LogOutput::StdOut { message: vec![b'x'; n].into() };
        streams.take(out(8), 0, &mut Events::none()).await.unwrap();
        let error = streams.take(out(8), 4, &mut Events::none()).await.unwrap_err();
        assert_eq!(error, RunError::OutputLimit(20));
        streams.flush().await.unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 16);
        assert_eq!(streams.written(), 16);
    }
}
