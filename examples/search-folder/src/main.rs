//! Searches every file below `/in` for a pattern and hashes each of them.
//!
//! Standard output has the lines that match, as `grep -rn` prints them but sorted by path; `/out/SHA256SUMS` has the
//! hash of each file, as `sha256sum` prints and checks them. A file with a zero byte counts as binary: that it matches
//! is told, its lines are not.

mod search;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: search-folder [--fixed] [--ignore-case] [--in /in] [--out /out] PATTERN";

struct Options {
    pattern: regex_lite::Regex,
    folder: PathBuf,
    out: PathBuf,
}

fn options(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut pattern, mut folder, mut out) = (None, "/in".into(), "/out".into());
    let (mut fixed, mut ignore_case) = (false, false);
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().map(PathBuf::from).ok_or(format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--fixed" => fixed = true,
            "--ignore-case" => ignore_case = true,
            "--in" => folder = value()?,
            "--out" => out = value()?,
            "--" => pattern = args.next(),
            _ if pattern.is_none() && !arg.starts_with("--") => pattern = Some(arg),
            _ => return Err(format!("not understood: {arg}\n{USAGE}")),
        }
    }
    let text = pattern.ok_or(USAGE)?;
    let text = if fixed { regex_lite::escape(&text) } else { text };
    let pattern = regex_lite::RegexBuilder::new(&text)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|e| format!("the pattern is not understood: {e}"))?;
    Ok(Options { pattern, folder, out })
}

/// How many lines were found, in how many files.
fn run() -> Result<(u64, usize), String> {
    let options = options(std::env::args().skip(1))?;
    let files = search::files(&options.folder)
        .map_err(|e| format!("{} cannot be read: {e}", options.folder.display()))?;
    let list = options.out.join("SHA256SUMS");
    let told = |what: &std::path::Path, e: io::Error| format!("{}: {e}", what.display());
    let mut sums = BufWriter::new(std::fs::File::create(&list).map_err(|e| told(&list, e))?);
    let mut lines = BufWriter::new(io::stdout().lock());
    let (mut found, mut done) = (0, 0u64);
    let all: u64 = files.iter().map(|f| f.bytes.max(1)).sum();
    for file in &files {
        let hash = search::file(&options.folder, file, &options.pattern, &mut |line| {
            found += 1;
            lines.write_all(line)
        })
        .map_err(|e| told(file.name.as_ref(), e))?;
        search::sum_line(&mut sums, &hash, &file.name).map_err(|e| told(&list, e))?;
        let before = done * 50 / all;
        done += file.bytes.max(1);
        if done * 50 / all != before {
            eprintln!("fog:progress {:.3}", done as f64 / all as f64);
        }
    }
    lines.flush().map_err(|e| format!("standard output: {e}"))?;
    sums.flush().map_err(|e| told(&list, e))?;
    Ok((found, files.len()))
}

fn main() -> ExitCode {
    match run() {
        Ok((found, files)) => {
            eprintln!("{found} lines in {files} files");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("search-folder: {e}");
            ExitCode::FAILURE
        }
    }
}
