//! `cargo xtask run`: from a fresh clone to the open window.

use crate::setup::{self, Need};
use crate::tools::{cargo, run as execute, say, target};
use crate::ui;
use anyhow::Result;
use std::process::Command;

/// Installs what is missing, builds, and opens the window; without a display it runs the node without one.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install what is missing without asking.
    #[arg(long, short)]
    yes: bool,
    /// Run the node without a window even if there is a display.
    #[arg(long)]
    headless: bool,
    /// Build with full optimisation: takes longer, runs faster.
    #[arg(long)]
    release: bool,
    /// Where the node keeps its data. Two copies on one machine take two folders.
    #[arg(long, short = 'd', value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
    /// More options for the program.
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let window = !options.headless && setup::has_display();
    let needs: &[Need] = if window { &[Need::Build, Need::Window] } else { &[Need::Build] };
    setup::ensure(needs, options.yes)?;
    ui::run(&ui::Options::default())?;
    let mut build = cargo();
    build.arg("build");
    if window {
        // The same packages as for the tests, so that Cargo resolves the same features and builds nothing twice.
        build.args(["--workspace", "--exclude", "fog-ui"]);
    } else {
        build.args(["--package", "fog-cli"]);
    }
    if options.release {
        build.arg("--release");
    }
    execute(&mut build)?;

    let folder = target().join(if options.release { "release" } else { "debug" });
    let mut command = Command::new(folder.join(if window { "fog-compute" } else { "fog" }));
    if !window {
        if !options.headless {
            say("there is no display: the node runs without a window; open the address that it prints");
        }
        command.arg("node");
    }
    if let Some(dir) = &options.data_dir {
        command.arg("--data-dir").arg(dir);
    }
    execute(command.args(&options.args))
}
