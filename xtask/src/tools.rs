//! What several chores need: the workspace's folders, running programs, and tools that are fetched once.

use anyhow::{Context, Result, bail};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// wasm-opt comes from this version of the npm package `binaryen`; the ones in distributions are often too old for
/// what today's Rust emits.
const BINARYEN: &str = "132.0.0";

/// Tells the person at the terminal what is going on.
#[allow(clippy::print_stderr, reason = "a chore talks to the terminal")]
pub(crate) fn say(text: impl std::fmt::Display) {
    eprintln!("xtask: {text}");
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where the workspace's build products go; honours `CARGO_TARGET_DIR`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this chore, set up as if started by hand at the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command to its end, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Whether a program of this name can be started.
fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

/// Makes sure that Rust can build for `target`; asks rustup for it where it is missing.
pub(crate) fn rust_target(target: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().context("cannot start rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    if !exists("rustup") {
        bail!("Rust's standard library for {target} is not installed, and there is no rustup to fetch it");
    }
    say(format_args!("installing Rust's standard library for {target}"));
    run(Command::new("rustup").args(["target", "add", target]))
}

/// A command that starts wasm-opt, fetched on first use. None where there is no npm to fetch it with: the page then
/// is larger, not broken.
pub(crate) fn wasm_opt() -> Result<Option<Command>> {
    let folder = target().join("tools");
    let package = folder.join("node_modules/binaryen");
    let wanted = format!("\"version\": \"{BINARYEN}\"");
    let installed = std::fs::read_to_string(package.join("package.json")).is_ok_and(|t| t.contains(&wanted));
    if !installed {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        if !exists(npm) {
            return Ok(None);
        }
        say(format_args!("installing wasm-opt (npm binaryen {BINARYEN}) into {}", folder.display()));
        std::fs::create_dir_all(&folder)?;
        run(Command::new(npm)
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
            .arg(&folder)
            .arg(format!("binaryen@{BINARYEN}")))?;
    }
    let mut wasm_opt = Command::new("node");
    wasm_opt.arg(package.join("bin/wasm-opt"));
    Ok(Some(wasm_opt))
}

/// A number that changes when any file under the paths changes, is added or goes. Not for security: it only says
/// whether work done before is still good.
pub(crate) fn fingerprint(paths: &[PathBuf], skip: &Path) -> Result<u64> {
    let mut files = Vec::new();
    let mut folders = paths.to_vec();
    while let Some(path) = folders.pop() {
        if path == skip {
            continue;
        }
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                folders.push(entry?.path());
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(hasher.finish())
}
