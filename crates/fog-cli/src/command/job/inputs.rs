//! What a program is given: standard input, and files for `/in`.

use super::find;
use crate::client::Client;
use anyhow::{Context, Result};
use fog_api::{ApiError, ErrorKind, JobInput, JobSource};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// More files are refused here already, before they are read.
const MOST_FILES: usize = 10_000;
/// Folders within folders at most.
const DEPTH: usize = 64;

/// Where one input comes from.
#[derive(Debug, PartialEq, Eq)]
enum From {
    File(PathBuf),
    Stdout(String),
    Files(String),
}

/// `--stdin`: a file, `-`, or another job's output.
pub(super) fn stdin(client: &Client, text: &str) -> Result<JobSource> {
    if let Some(job) = text.strip_prefix("stdout:") {
        return Ok(JobSource::Stdout { job: find(client, job)?.id });
    }
    let hash =
        if text == "-" { client.upload_reader(std::io::stdin())? } else { client.upload(Path::new(text))? };
    Ok(JobSource::Upload { hash })
}

/// `--in`, as often as it was given: what is to be below `/in`, uploaded.
pub(super) fn collect(client: &Client, given: &[String]) -> Result<Vec<JobInput>> {
    let mut all = BTreeMap::new();
    for text in given {
        for (name, from) in entries(text)? {
            if all.len() >= MOST_FILES {
                return Err(bad(format!("more than {MOST_FILES} input files: pack them into an archive")));
            }
            if all.insert(name.clone(), from).is_some() {
                return Err(bad(format!("two inputs would be /in/{name}: name one of them with NAME=PATH")));
            }
        }
    }
    all.into_iter()
        .map(|(name, from)| {
            let source = match from {
                From::File(path) => JobSource::Upload { hash: client.upload(&path)? },
                From::Stdout(job) => JobSource::Stdout { job: find(client, &job)?.id },
                From::Files(job) => JobSource::Files { job: find(client, &job)?.id },
            };
            Ok(JobInput { name, source })
        })
        .collect()
}

fn bad(text: String) -> anyhow::Error {
    ApiError::new(ErrorKind::BadInput, text).into()
}

/// What one `--in` stands for.
fn entries(text: &str) -> Result<Vec<(String, From)>> {
    // A path that is there is taken as it is, also with `=` in it.
    let (name, rest) = match text.split_once('=') {
        Some((name, rest)) if !Path::new(text).exists() => (Some(name), rest),
        _ => (None, text),
    };
    if let Some(name) = name {
        check(name)?;
        if let Some(job) = rest.strip_prefix("stdout:") {
            return Ok(vec![(name.into(), From::Stdout(job.into()))]);
        }
        if let Some(job) = rest.strip_prefix("files:") {
            return Ok(vec![(name.into(), From::Files(job.into()))]);
        }
    }
    let path = Path::new(rest);
    let kind = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if kind.is_dir() {
        let mut found = Vec::new();
        walk(path, name.unwrap_or_default(), 0, &mut found)?;
        if found.is_empty() {
            return Err(bad(format!("{} has no files", path.display())));
        }
        return Ok(found);
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => text_of(path.file_name().context("this path has no name")?)?,
    };
    Ok(vec![(name, From::File(path.into()))])
}

/// Every file below a folder. Links to files are read; links to folders are left out, since they may lead around.
fn walk(folder: &Path, below: &str, depth: usize, found: &mut Vec<(String, From)>) -> Result<()> {
    let unreadable = || format!("{} cannot be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = text_of(&entry.file_name())?;
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        let path = entry.path();
        if entry.file_type().with_context(unreadable)?.is_dir() {
            if depth == DEPTH {
                return Err(bad(format!("{} is nested too deeply", path.display())));
            }
            walk(&path, &name, depth + 1, found)?;
        } else if path.is_file() {
            found.push((name, From::File(path)));
        }
        if found.len() > MOST_FILES {
            return Err(bad(format!(
                "{} has more than {MOST_FILES} files: pack them into an archive",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn text_of(name: &std::ffi::OsStr) -> Result<String> {
    let text = name.to_str().filter(|t| !t.contains('\\'));
    text.map(str::to_owned)
        .ok_or_else(|| bad(format!("a program cannot be given a file with this name: {name:?}")))
}

/// The rest is checked by the node, but a name that looks like a path of this machine is a mistake of the caller.
fn check(name: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(plain) {
        return Ok(());
    }
    Err(bad(format!(
        "{name:?} is no name below /in: write it as a/b.txt, without a / in front and without .."
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("d/e")).unwrap();
        std::fs::write(path("d/e/f"), "1").unwrap();
        std::fs::write(path("d/g"), "2").unwrap();
        std::fs::write(path("a=b"), "3").unwrap();
        let names = |text: &str| -> Vec<String> {
            let mut names: Vec<_> = entries(text).unwrap().into_iter().map(|(name, _)| name).collect();
            names.sort();
            names
        };
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        assert_eq!(names(&text("d")), ["e/f", "g"]);
        assert_eq!(names(&format!("x={}", text("d"))), ["x/e/f", "x/g"]);
        assert_eq!(names(&text("d/g")), ["g"]);
        assert_eq!(names(&format!("y/z={}", text("d/g"))), ["y/z"]);
        assert_eq!(names(&text("a=b")), ["a=b"]);
        assert_eq!(entries("x=stdout:12ab").unwrap(), [("x".into(), From::Stdout("12ab".into()))]);
        assert_eq!(entries("x=files:12ab").unwrap(), [("x".into(), From::Files("12ab".into()))]);
        for wrong in ["../x=stdout:1", "/x=stdout:1", "=stdout:1", "a//b=stdout:1"] {
            assert!(entries(wrong).is_err(), "{wrong}");
        }
        assert!(entries(&text("none")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_its_own_folder_is_no_trap() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("round")).unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let found = entries(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(found.len(), 1);
    }
}
