//! The workspace's chores: `cargo xtask ui` and whatever else building and trying Fog Compute takes.
//!
//! Cargo builds crates; a chore is what goes beyond that, such as turning the page into files that a node can
//! serve. Each chore is a module with a `run` function, and everything they fetch or make lands in `target/`.

mod examples;
mod run;
mod screenshots;
mod setup;
mod test;
mod tools;
mod ui;

use clap::{Parser, Subcommand};

/// Chores of the Fog Compute workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the example jobs into examples/.
    Examples(examples::Options),
    /// Install what is missing, build, and open the window (or run the node where there is no display).
    Run(run::Options),
    /// Draw every screen into target/screenshots.
    Screenshots(screenshots::Options),
    /// Run every test.
    Test(test::Options),
    /// Build the page into ui/dist.
    Ui(ui::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().chore {
        Chore::Examples(options) => examples::run(&options),
        Chore::Run(options) => run::run(&options),
        Chore::Screenshots(options) => screenshots::run(&options),
        Chore::Test(options) => test::run(&options),
        Chore::Ui(options) => ui::run(&options),
    }
}
