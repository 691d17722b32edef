//! Components, with WASI preview 2.
//!
//! Streams, clocks, chance and, where it is granted, sockets are wasmtime-wasi's, over the same clock, the same random
//! numbers and the same outputs as a core module has. Files are ours ([`files`]): the same tree in memory, so that a
//! component has no more way out of its folders than a module, and the same quota. Waiting is ours, too ([`clock`]), so that a
//! deterministic program's clock jumps to where it waits for. A component cannot be put away, and says so.

mod clock;
mod files;

use super::host::{Ending, Meter, stay};
use super::pace::{Pace, Wish};
use super::voice::{Report, Voice};
use super::wasi::vfs::Vfs;
use super::wasi::{Chance, Clock, Streams};
use super::{Files, Job, device, jit};
use crate::checkpoint::Totals;
use crate::run::{RunError, StreamKind};
use crate::sandbox::protocol::{Finished, FromWorker};
use bytes::Bytes;
use files::Tree;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::cli::{InputFile, IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};

/// Most bytes taken from a program at once.
const PERMIT: usize = 64 * 1024;

/// What several parts of the host share.
type Shared<T> = Arc<Mutex<T>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Data {
    ctx: WasiCtx,
    table: ResourceTable,
    tree: Tree,
    clock: Shared<Clock>,
    meter: Meter,
    pace: Arc<Pace>,
    report: Report,
    said_fixed: bool,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// Runs a component (`wasi:cli/run`) to its end.
pub(super) fn run(job: &Job, bytes: &[u8], mut files: Files, pace: &Arc<Pace>) -> Result<Finished, RunError> {
    if job.start.interpreter {
        let what = "components need the compiling engine; build it for wasm32-wasip1 instead";
        return Err(RunError::Unsupported(what.into()));
    }
    let component = load(job, bytes, &mut files)?;
    let vfs = Arc::new(Mutex::new(job.vfs(std::mem::take(&mut files.inputs))?));
    let voice = Arc::new(Mutex::new(Voice::new(job.report.clone(), files.stdout)));
    let meter = Meter::new(job.start.limits.memory_bytes);
    let clock = Arc::new(Mutex::new(Clock::new(job.start.deterministic)));
    let data = Data {
        ctx: context(job, files.stdin, &voice, &vfs, &clock)?,
        table: ResourceTable::new(),
        tree: Tree::new(Arc::clone(&vfs)),
        clock,
        meter,
        pace: Arc::clone(pace),
        report: job.report.clone(),
        said_fixed: false,
    };
    let mut store = Store::new(&job.engine, data);
    store.limiter(|data| &mut data.meter);
    store.set_fuel(u64::MAX).map_err(|e| RunError::Device(e.to_string()))?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let data = store.data_mut();
        if !data.pace.step() {
            return Err(Ending::Stop(RunError::TimeLimit(data.pace.seconds())).into());
        }
        let wish = data.pace.wish();
        if wish != Wish::None {
            stay(wish, &data.pace, &data.report, &mut data.said_fixed).map_err(Ending::Stop)?;
        }
        Ok(UpdateDeadline::Continue(1))
    });
    let linker = link(&job.engine).map_err(|e| RunError::Device(format!("{e:#}")))?;
    job.report.say(&FromWorker::Started).map_err(|e| device(&e))?;
    let ended = Command::instantiate(&mut store, &component, &linker).map_err(|e| missing(&e)).and_then(
        |command| match command.wasi_cli_run().call_run(&mut store) {
            Ok(result) => Ok(i32::from(result.is_err())),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => match jit::ending(&error) {
                    Ending::Exit(code) => Ok(code),
                    Ending::Stop(error) => Err(error),
                },
            },
        },
    )?;
    let mut voice = lock(&voice);
    voice.finish()?;
    let fuel = u64::MAX - store.get_fuel().unwrap_or(u64::MAX);
    let totals = Totals {
        fuel,
        cpu_ms: u64::try_from(pace.cpu().as_millis()).unwrap_or(u64::MAX),
        wall_ms: u64::try_from(pace.running().as_millis()).unwrap_or(u64::MAX),
        memory_peak: store.data().meter.peak,
    };
    let stderr_tail = String::from_utf8_lossy(&voice.tail()).into_owned();
    let archived = super::archive::write(&lock(&vfs), files.archive)?;
    Ok(Finished { exit_code: ended, stderr_tail, totals, files: archived })
}

fn load(job: &Job, bytes: &[u8], files: &mut Files) -> Result<Component, RunError> {
    if let Some(mut file) = files.compiled.take() {
        let mut code = Vec::new();
        io::Read::read_to_end(&mut file, &mut code).map_err(|e| device(&e))?;
        // SAFETY: as for a module, see `jit::load`: only what this node's own worker compiled from these very bytes.
        #[allow(unsafe_code)]
        let loaded = unsafe { Component::deserialize(&job.engine, &code) };
        if let Ok(component) = loaded {
            return Ok(component);
        }
    }
    let component =
        Component::from_binary(&job.engine, bytes).map_err(|e| RunError::NotWasm(format!("{e:#}")))?;
    if let Some(mut keep) = files.keep.take() {
        let kept = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| io::Write::write_all(&mut keep, &code));
        if kept.is_ok() {
            job.report.say(&FromWorker::Compiled).map_err(|e| device(&e))?;
        }
    }
    Ok(component)
}

fn context(
    job: &Job,
    stdin: Option<std::fs::File>,
    voice: &Shared<Voice>,
    vfs: &Shared<Vfs>,
    clock: &Shared<Clock>,
) -> Result<WasiCtx, RunError> {
    let seed = job.seed()?;
    let mut wasi = WasiCtxBuilder::new();
    // The thread has nothing else to do, so files are read on it.
    wasi.allow_blocking_current_thread(true).arg("job").args(&job.start.args).envs(&job.start.env);
    let stream = |stream| Output { stream, voice: Arc::clone(voice), vfs: Arc::clone(vfs) };
    wasi.stdout(stream(StreamKind::Stdout)).stderr(stream(StreamKind::Stderr));
    if let Some(stdin) = stdin {
        wasi.stdin(InputFile::new(stdin));
    }
    wasi.wall_clock(Shown(Arc::clone(clock))).monotonic_clock(Shown(Arc::clone(clock)));
    wasi.secure_random(Random(Chance::new(seed)));
    let insecure = blake3::derive_key("fog-jobs insecure chance", &seed);
    wasi.insecure_random(Random(Chance::new(insecure)));
    wasi.insecure_random_seed(u128::from_le_bytes(insecure[..16].try_into().unwrap_or_default()));
    if job.start.network {
        // The world, but neither this device nor the networks that it is in.
        wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(|address, _| {
            let outside = is_outside(address.ip());
            Box::pin(async move { outside })
        });
    } else {
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    }
    Ok(wasi.build())
}

/// True for an address of the public Internet.
fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || matches!(v4.octets(), [192, 0, 0, _] | [192, 88, 99, _]))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_outside(v4.into()),
            // Global unicast alone, and none that leads to an IPv4 address of any kind: Teredo, 6to4.
            None => {
                let [a, b, ..] = v6.segments();
                a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b == 0 || b == 0xdb8))
            }
        },
    }
}

fn link(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker: Linker<Data> = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    linker.allow_shadowing(true);
    files::add_to_linker(&mut linker)?;
    clock::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Why a component could not be made ready: most often an import that jobs are not given.
fn missing(error: &wasmtime::Error) -> RunError {
    match error.downcast_ref::<Ending>() {
        Some(Ending::Stop(error)) => error.clone(),
        _ if error.downcast_ref::<wasmtime::Trap>().is_some() => RunError::Trap(format!("{error:#}")),
        _ => RunError::Denied(format!("{error:#}")),
    }
}

/// A program's clock as preview 2 wants it.
struct Shown(Shared<Clock>);

impl HostWallClock for Shown {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(lock(&self.0).wall())
    }
}

impl HostMonotonicClock for Shown {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        lock(&self.0).monotonic()
    }
}

/// A program's random numbers as preview 2 wants them.
struct Random(Chance);

impl rand::TryRng for Random {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(into);
        Ok(())
    }
}

/// Standard output or error.
#[derive(Clone)]
struct Output {
    stream: StreamKind,
    voice: Shared<Voice>,
    vfs: Shared<Vfs>,
}

impl Output {
    fn take(&self, bytes: &[u8]) -> Result<(), RunError> {
        if self.stream == StreamKind::Stdout {
            lock(&self.vfs).count(bytes.len() as u64)?;
        }
        lock(&self.voice).write(self.stream, bytes)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // A trap, not an error code: a program that ignores errors must stop as well.
        self.take(&bytes).map_err(|error| StreamError::Trap(Ending::Stop(error).into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.take(bytes).map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_outside() {
        for address in ["1.1.1.1", "2606:4700::1111", "100.63.0.1", "::ffff:8.8.8.8"] {
            assert!(is_outside(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::",
            "ff02::1",
            "2002:a00:1::1",
            "2001:0:a00:1::1",
            "2001:db8::1",
            "64:ff9b::a00:1",
            "198.18.0.1",
            "192.0.0.8",
        ] {
            assert!(!is_outside(address.parse().unwrap()), "{address}");
        }
    }
}
