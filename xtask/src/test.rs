//! `cargo xtask test`: every test, with everything that they need.

use crate::examples;
use crate::setup::{self, Need};
use crate::tools::{cargo, root, run as execute, say};
use crate::ui;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs every test: units, several processes, the page in a browser, the real window.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install what is missing without asking.
    #[arg(long, short)]
    yes: bool,
    /// Leave out the page in the browser and the window.
    #[arg(long)]
    quick: bool,
}

/// What the runs of Cargo's test runner added up to.
#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut needs = vec![Need::Build, Need::Window, Need::Curl, Need::Bus];
    // Only root can start a container engine; others see in the output that these tests were left out.
    let containers = cfg!(target_os = "linux") && setup::is_root();
    if containers {
        needs.push(Need::Containers);
    }
    if !options.quick {
        needs.extend([Need::WindowTest, Need::Browser]);
    }
    setup::ensure(&needs, options.yes)?;
    ui::run(&ui::Options::default())?;

    say("formatting and lints");
    execute(cargo().args(["fmt", "--all", "--check"]))?;
    let deny = ["--", "-D", "warnings"];
    execute(everything("clippy").arg("--all-targets").args(deny))?;
    let page = ["clippy", "--package", "fog-ui", "--target", "wasm32-unknown-unknown", "--target-dir"];
    let page_target = crate::tools::target().join("ui");
    execute(cargo().args(page).arg(&page_target).args(deny))?;

    say("the example jobs are what their sources give");
    examples::run(&examples::Options { check: true })?;

    say("tests of the page's own parts");
    let mut sum = Sum::default();
    sum.add(
        cargo().args(["test", "--no-fail-fast", "--package", "fog-ui", "--target-dir"]).arg(&page_target),
    )?;
    say("tests of everything else, the end-to-end tests among them");
    execute(&mut everything("build"))?;
    let mut tests = everything("test");
    tests.arg("--no-fail-fast");
    if containers {
        tests.args(["--features", "fog-jobs/containers"]);
    }
    if !options.quick {
        tests.env("TAURI_DRIVER", setup::cargo_tool("tauri-driver", "^2")?);
        tests.args(["--features", "fog-e2e/browser,fog-e2e/window"]);
    }
    sum.add(&mut tests)?;
    finish(&sum)
}

/// Always the same packages, so that Cargo resolves the same features and builds every dependency once.
fn everything(command: &str) -> Command {
    let mut cargo = cargo();
    cargo.args([command, "--workspace", "--exclude", "fog-ui"]);
    cargo
}

#[allow(clippy::print_stdout, reason = "the summary is the chore's result")]
fn finish(sum: &Sum) -> Result<()> {
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed > 0 || sum.passed == 0 {
        bail!("tests failed");
    }
    Ok(())
}

impl Sum {
    /// Runs Cargo's test runner, shows what it prints, and adds up its results.
    #[allow(clippy::print_stdout, reason = "passes on what the tests print")]
    fn add(&mut self, command: &mut Command) -> Result<()> {
        let mut child =
            command.current_dir(root()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
        let failed_before = self.failed;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                println!("{line}");
                if let Some((passed, failed)) = counts(&line) {
                    self.passed += passed;
                    self.failed += failed;
                }
            }
        }
        // A runner that died without a count of its own (it did not compile, say) is one failure.
        if !child.wait()?.success() && self.failed == failed_before {
            self.failed += 1;
        }
        Ok(())
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; ...`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(word).next()?.trim_end();
        before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.61s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test a_result: ok. 1 passed"), None);
        assert_eq!(counts("running 3 tests"), None);
    }
}
