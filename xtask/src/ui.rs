//! `cargo xtask ui`: the page, from Rust to the files in `ui/dist`.
//!
//! Cargo compiles the page to WebAssembly, wasm-bindgen writes the JavaScript around it, wasm-opt makes it small.
//! The style sheets are joined into one, the rest is copied.

use crate::tools::{self, say};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// The page must start quickly on a phone, so a larger module fails the build.
const MAX_WASM: u64 = 1_600_000;
/// In this order: later sheets may rely on earlier ones.
const STYLES: [&str; 8] = ["tokens", "base", "shell", "components", "chat", "circuits", "screens", "jobs"];
/// Copied as they are.
const STATIC: [&str; 3] = ["index.html", "boot.js", "favicon.svg"];
/// What the compiler may use; wasm-opt refuses modules that use features it was not told of.
const WASM_FEATURES: [&str; 6] = [
    "--enable-reference-types",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-multivalue",
];

/// How to build the page.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Build quickly, with debug checks and without making it small.
    #[arg(long)]
    dev: bool,
    /// Build even if nothing changed since the last time.
    #[arg(long)]
    force: bool,
}

/// Builds the page unless what lies in `ui/dist` is already made from the present sources.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = tools::root();
    let dist = root.join("ui/dist");
    let work = tools::target().join("ui");
    let stamp_file = work.join("dist.stamp");
    let stamp = stamp(&root, &dist, options.dev)?;
    let complete = dist.join("index.html").exists();
    if complete && !options.force && std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        say("the page is up to date");
        return Ok(());
    }

    let wasm = compile(&work, options.dev)?;
    let fresh = work.join("dist");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    std::fs::create_dir_all(&fresh)?;
    bind(&wasm, &fresh, options.dev)?;
    let module = fresh.join("fog_ui_bg.wasm");
    let before = size(&module)?;
    let shrunk = !options.dev && shrink(&module)?;
    let after = size(&module)?;
    say(format_args!("wasm: {} KB, after wasm-opt {} KB", before / 1000, after / 1000));
    if shrunk && after > MAX_WASM {
        bail!("the page's wasm has {after} bytes; at most {MAX_WASM} are allowed");
    }
    copy_static(&root.join("ui"), &fresh)?;
    replace(&fresh, &dist)?;
    std::fs::write(&stamp_file, &stamp)?;
    say(format_args!("the page is in {}", dist.display()));
    Ok(())
}

/// What `ui/dist` depends on, as a short text.
fn stamp(root: &Path, dist: &Path, dev: bool) -> Result<String> {
    let inputs =
        ["ui", "crates/fog-api", "xtask/src", "Cargo.lock", "Cargo.toml"].map(|p| root.join(p)).to_vec();
    Ok(format!("{:016x}{}", tools::fingerprint(&inputs, dist)?, if dev { " dev" } else { "" }))
}

/// Compiles the page; returns the module's path. It has a target folder of its own, so that it neither waits for
/// nor disturbs the build of the node.
fn compile(work: &Path, dev: bool) -> Result<PathBuf> {
    tools::rust_target(WASM_TARGET)?;
    let profile = if dev { "dev" } else { "page" };
    let mut cargo = tools::cargo();
    cargo.args([
        "build",
        "--package",
        "fog-ui",
        "--bin",
        "fog-ui",
        "--target",
        WASM_TARGET,
        "--profile",
        profile,
    ]);
    cargo.arg("--target-dir").arg(work);
    // Components whose types are erased at their borders: otherwise the type of each screen holds the types of all
    // that is in it, and the code for it is made again and again.
    cargo.args(["--config", "target.wasm32-unknown-unknown.rustflags=['--cfg','erase_components']"]);
    // Stripping would also take the note of the features that the module uses, which wasm-bindgen reads; it leaves
    // the debug sections out itself.
    cargo.env("CARGO_PROFILE_PAGE_STRIP", "none");
    tools::run(&mut cargo)?;
    let folder = if dev { "debug" } else { profile };
    Ok(work.join(WASM_TARGET).join(folder).join("fog-ui.wasm"))
}

/// Writes the module and the JavaScript that loads it.
fn bind(wasm: &Path, out: &Path, dev: bool) -> Result<()> {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(wasm)
        .out_name("fog_ui")
        .web(true)?
        .typescript(false)
        .debug(dev)
        .keep_debug(dev)
        .remove_name_section(!dev)
        .remove_producers_section(!dev)
        .generate(out)
        .context("wasm-bindgen could not read the module")
}

/// Runs wasm-opt over the module, in place.
fn shrink(module: &Path) -> Result<bool> {
    let Some(mut wasm_opt) = tools::wasm_opt()? else {
        say("no npm to fetch wasm-opt with: the page stays larger than it need be");
        return Ok(false);
    };
    tools::run(wasm_opt.arg("-Oz").args(WASM_FEATURES).arg(module).arg("-o").arg(module))?;
    Ok(true)
}

/// Joins the style sheets and copies what needs no work.
fn copy_static(ui: &Path, out: &Path) -> Result<()> {
    let mut css = String::new();
    for name in STYLES {
        let path = ui.join("style").join(name).with_extension("css");
        css += &std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        css.push('\n');
    }
    std::fs::write(out.join("fog.css"), css)?;
    for name in STATIC {
        std::fs::copy(ui.join(name), out.join(name)).with_context(|| format!("cannot copy ui/{name}"))?;
    }
    Ok(())
}

/// Puts the new folder in the old one's place, so that a failed build leaves the last good page alone.
fn replace(fresh: &Path, dist: &Path) -> Result<()> {
    if dist.exists() {
        std::fs::remove_dir_all(dist)?;
    }
    std::fs::create_dir_all(dist)?;
    for entry in std::fs::read_dir(fresh)? {
        let entry = entry?;
        std::fs::copy(entry.path(), dist.join(entry.file_name()))?;
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}
