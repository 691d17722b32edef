//! `cargo xtask screenshots`: a picture of every screen, light and dark, wide and narrow.
//!
//! The pictures are of real nodes with real data, taken in headless Chromium by `tests/tests/screenshots.rs`.

use crate::setup::{self, Need};
use crate::tools::{self, cargo, run as execute, say};
use crate::ui;
use anyhow::Result;

/// Draws every screen into target/screenshots.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install what is missing without asking.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Browser], options.yes)?;
    ui::run(&ui::Options::default())?;
    // The same packages as in `cargo xtask test`, so that neither builds for the other anew.
    let workspace = ["--workspace", "--exclude", "fog-ui"];
    execute(cargo().arg("build").args(workspace).args(["--bin", "fog"]))?;
    let folder = tools::target().join("screenshots");
    let mut test = cargo();
    test.arg("test").args(workspace).args(["--features", "fog-e2e/browser", "--test", "screenshots"]);
    test.args(["--", "--ignored"]).env("FOG_SCREENSHOTS", &folder);
    execute(&mut test)?;
    say(format_args!("the pictures are in {}", folder.display()));
    Ok(())
}
