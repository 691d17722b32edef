//! What the machine must have: says what is missing, asks at a terminal, installs it.

use crate::tools::{run, rust_target, say, target};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::process::Command;

/// What a chore needs beyond Rust.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A C compiler: SQLite is built from source.
    Build,
    /// WebKit's development files, for the window.
    Window,
    /// A display without a screen, a message bus and WebKit's driver, for tests of the window.
    WindowTest,
    /// Chromium and its driver, for tests of the page.
    Browser,
    /// A program that knows SOCKS5, for tests of the proxy.
    Curl,
    /// A message bus, for tests of the sensors that ask services.
    Bus,
    /// Container engines and a small program to put into an image, for tests of containers.
    Containers,
}

/// Debian's packages (Ubuntu's have the same names), and a file that tells that each is there.
fn debian(need: Need) -> &'static [&'static str] {
    match need {
        Need::Build => &["build-essential", "pkg-config"],
        Need::Window => &[
            "libwebkit2gtk-4.1-dev",
            "libayatana-appindicator3-dev",
            "librsvg2-dev",
            "libxdo-dev",
            "libssl-dev",
            "libdbus-1-dev",
        ],
        Need::WindowTest => {
            &["xvfb", "xauth", "dbus-x11", "webkit2gtk-driver", "imagemagick", "gnome-keyring"]
        }
        Need::Browser => &["chromium", "chromium-driver", "fonts-dejavu-core"],
        Need::Curl => &["curl"],
        Need::Bus => &["dbus-daemon"],
        Need::Containers => &["docker.io", "podman", "runc", "busybox-static", "tini"],
    }
}

/// Makes sure of everything, or fails saying what to install.
pub(crate) fn ensure(needs: &[Need], yes: bool) -> Result<()> {
    rust_target("wasm32-unknown-unknown")?;
    if !cfg!(target_os = "linux") {
        // On Windows and macOS the web view is part of the system; the compiler comes with Rust's installer.
        return Ok(());
    }
    let wanted: Vec<&str> = needs.iter().flat_map(|n| debian(*n)).copied().collect();
    if !exists("dpkg-query") {
        say(format_args!(
            "this system does not use Debian's packages. If the build fails, install what corresponds to: {}",
            wanted.join(" ")
        ));
        return Ok(());
    }
    let missing: Vec<&str> = wanted.into_iter().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(format_args!("these packages are missing: {}", missing.join(" ")));
    if !yes && std::io::stdin().is_terminal() && !agreed()? {
        bail!("nothing was installed; install them yourself and run this again");
    }
    let apt = |args: &[&str]| {
        let mut command = if is_root() { Command::new("apt-get") } else { Command::new("sudo") };
        if !is_root() {
            command.args(["--", "apt-get"]);
        }
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(&mut apt(&["update", "-qq"])).context("the lists of packages cannot be fetched")?;
    run(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
        .context("the packages cannot be installed")
}

/// A program from crates.io, installed once into the target folder's tools.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<std::path::PathBuf> {
    let root = target().join("tools");
    let program = root.join("bin").join(name);
    if !program.exists() {
        say(format_args!("installing {name}"));
        let mut install = crate::tools::cargo();
        // A target folder of its own: the tool's dependencies are built with other options than ours.
        install.env("CARGO_TARGET_DIR", target().join("tools-build"));
        run(install.args(["install", name, "--version", version, "--locked", "--root"]).arg(&root))?;
    }
    Ok(program)
}

/// True if there is a screen to open a window on.
pub(crate) fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    query.is_ok_and(|o| o.stdout.ends_with(b" installed"))
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

#[allow(clippy::print_stderr, reason = "a question at the terminal")]
fn agreed() -> Result<bool> {
    eprint!("xtask: install them now? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}
