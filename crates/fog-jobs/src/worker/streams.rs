//! The program's standard output and error: a file with a quota, and the end of what was said.

use super::run::Stop;
use crate::run::RunError;
use crate::sandbox::STDERR_TAIL;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Most bytes taken from a program at once.
const PERMIT: usize = 64 * 1024;

/// Where a program's words go.
pub(super) trait Sink: Send + 'static {
    /// Takes all of `bytes` or stops the program.
    fn take(&mut self, bytes: &[u8]) -> Result<(), RunError>;
}

/// A file that takes no more than its quota.
pub(super) struct Quota {
    file: BufWriter<File>,
    left: u64,
    limit: u64,
}

impl Quota {
    pub(super) fn new(file: File, limit: u64) -> Self {
        Self { file: BufWriter::with_capacity(PERMIT, file), left: limit, limit }
    }

    /// Writes what is still in memory, and makes it durable.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        self.file.flush().map_err(|e| disk(&e))
    }
}

impl Sink for Quota {
    fn take(&mut self, bytes: &[u8]) -> Result<(), RunError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(RunError::OutputLimit(self.limit))?;
        self.file.write_all(bytes).map_err(|e| disk(&e))
    }
}

fn disk(error: &io::Error) -> RunError {
    RunError::Device(format!("the output cannot be written: {error}"))
}

/// The end of what was said.
#[derive(Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Sink for Tail {
    fn take(&mut self, bytes: &[u8]) -> Result<(), RunError> {
        let bytes = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        let surplus = (self.0.len() + bytes.len()).saturating_sub(STDERR_TAIL);
        self.0.drain(..surplus);
        self.0.extend(bytes);
        Ok(())
    }
}

/// A sink as the program sees it. Clones are the same stream.
pub(super) struct Stream<S>(Arc<Mutex<S>>);

impl<S> Clone for Stream<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Stream<S> {
    pub(super) fn new(sink: S) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sink> IsTerminal for Stream<S> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<S: Sink> StdoutStream for Stream<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl<S: Sink> Pollable for Stream<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> OutputStream for Stream<S> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // A trap, not an error code: a program that ignores errors must stop as well.
        self.lock().take(&bytes).map_err(|error| StreamError::Trap(Stop(error).into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl<S: Sink> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.lock().take(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
