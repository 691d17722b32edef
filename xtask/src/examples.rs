//! `cargo xtask examples`: builds the programs in `examples/` for WASI, and keeps the built modules beside their sources.
//!
//! The modules are part of the repository, so that trying one takes no compiler. `--check` builds them anew and
//! compares: a module that is not what its source gives is refused. The bytes depend on the compiler, so they are
//! compared only where it is the one that `examples/COMPILER` names.

use crate::tools::{cargo, root, run as execute, rust_target, say, target};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip1";

/// Builds the example jobs.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Change nothing: fail if a module is not what its source gives.
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    rust_target(TARGET)?;
    let folder = root().join("examples");
    let compiler = compiler()?;
    let named = folder.join("COMPILER");
    let same = std::fs::read_to_string(&named).is_ok_and(|text| text == compiler);
    let mut stale = Vec::new();
    for name in names(&folder)? {
        let (built, kept) = (build(&folder, &name)?, folder.join(&name).join(format!("{name}.wasm")));
        let bytes = std::fs::read(&built).with_context(|| format!("{} was not built", built.display()))?;
        let equal = std::fs::read(&kept).is_ok_and(|kept| kept == bytes);
        if !options.check {
            std::fs::write(&kept, bytes).with_context(|| format!("cannot write {}", kept.display()))?;
        } else if !equal {
            stale.push(name);
        }
    }
    if !options.check {
        return Ok(std::fs::write(named, compiler)?);
    }
    if !same {
        say("the examples were built with another compiler, so their bytes are not compared");
    } else if !stale.is_empty() {
        bail!("not what their sources give: {}. Run `cargo xtask examples`", stale.join(", "));
    }
    Ok(())
}

/// Every folder with a program.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The built module.
fn build(folder: &Path, name: &str) -> Result<PathBuf> {
    let out = target().join("examples");
    let mut cargo = cargo();
    cargo.current_dir(folder.join(name));
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&out);
    // Where things lie on this machine must not show in the module.
    let flags: Vec<String> = places()?
        .into_iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    for name in ["RUSTFLAGS", "CARGO_INCREMENTAL", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    execute(&mut cargo)?;
    Ok(out.join(TARGET).join("release").join(format!("{name}.wasm")))
}

/// Folders of this machine that the compiler would write into messages of panics, and what it is to write instead.
fn places() -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(home?.join(".cargo"))).context("there is no home folder")?;
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
    // One folder a registry, named by a hash of how it is reached.
    let mut places = vec![(root(), "fog"), (sysroot.join("lib/rustlib/src/rust"), "rust")];
    for registry in std::fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten() {
        places.push((registry?.path(), "crates"));
    }
    Ok(places)
}

/// What the bytes of a module depend on, besides its source.
fn compiler() -> Result<String> {
    let all = rustc(&["-vV"])?;
    let part = |name: &str| all.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    Ok(format!("{}\n{}\n{}\n", part("release: "), part("commit-hash: "), part("LLVM version: ")))
}

fn rustc(args: &[&str]) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(args).output().context("cannot start rustc")?;
    Ok(String::from_utf8(output.stdout)?)
}
