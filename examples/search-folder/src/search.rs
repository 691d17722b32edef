//! Finding files, and reading each of them once for both its hash and its lines.

use regex_lite::Regex;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// A longer line is searched in pieces of this size, so that no file takes more memory than this.
const LONGEST_LINE: u64 = 1 << 20;
/// Folders within folders at most.
const DEPTH: usize = 64;

/// A file below the folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its path, relative to the folder, with `/`.
    pub name: String,
    pub bytes: u64,
}

/// Every file below the folder, sorted by path.
pub fn files(folder: &Path) -> io::Result<Vec<Found>> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH {
                folders.push((entry.path(), name + "/", depth + 1));
            } else if kind.is_file() {
                files.push(Found { name, bytes: entry.metadata()?.len() });
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Hashes what is read through it.
struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(to)?;
        self.hash.update(&to[..n]);
        Ok(n)
    }
}

/// Gives the lines that match to `found`, with path and number in front, and returns the file's hash.
pub fn file(
    folder: &Path,
    file: &Found,
    pattern: &Regex,
    found: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<[u8; 32]> {
    let from = std::fs::File::open(folder.join(&file.name))?;
    let mut reader = BufReader::with_capacity(64 * 1024, Hashing { from, hash: Sha256::new() });
    // As grep does, what a file is shows at its beginning.
    let binary = reader.fill_buf()?.contains(&0);
    let (mut number, mut starts_line, mut told) = (0u64, true, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += u64::from(starts_line);
        starts_line = line.last() == Some(&b'\n');
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if told || !pattern.is_match(&String::from_utf8_lossy(text)) {
            continue;
        }
        if binary {
            found(format!("{}: a binary file that matches\n", file.name).as_bytes())?;
            told = true;
            continue;
        }
        let mut out = format!("{}:{number}:", file.name).into_bytes();
        out.extend_from_slice(text);
        out.push(b'\n');
        found(&out)?;
    }
    Ok(reader.into_inner().hash.finalize().into())
}

/// A line that `sha256sum --check` understands. A name with a backslash or a newline is escaped as it does.
pub fn sum_line(to: &mut impl Write, hash: &[u8; 32], name: &str) -> io::Result<()> {
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    if escaped != name {
        to.write_all(b"\\")?;
    }
    for byte in hash {
        write!(to, "{byte:02x}")?;
    }
    writeln!(to, "  {escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("search-folder-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("deep/er")).unwrap();
        folder
    }

    #[test]
    fn hashes_and_lines() {
        let folder = folder("lines");
        std::fs::write(folder.join("deep/er/b"), "one\ntwo fog\nno newline, fog").unwrap();
        std::fs::write(folder.join("a"), b"fog\0fog\nfog").unwrap();
        std::fs::write(folder.join("empty"), "").unwrap();
        let files = files(&folder).unwrap();
        assert_eq!(files.iter().map(|f| &f.name[..]).collect::<Vec<_>>(), ["a", "deep/er/b", "empty"]);
        let (mut lines, mut sums) = (Vec::new(), Vec::new());
        for found in &files {
            let hash = file(&folder, found, &Regex::new("fog").unwrap(), &mut |l| {
                lines.extend_from_slice(l);
                Ok(())
            });
            sum_line(&mut sums, &hash.unwrap(), &found.name).unwrap();
        }
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(
            lines,
            "a: a binary file that matches\ndeep/er/b:2:two fog\ndeep/er/b:3:no newline, fog\n"
        );
        // What `sha256sum` says of nothing.
        let sums = String::from_utf8(sums).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n";
        assert!(sums.ends_with(empty), "{sums}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_without_end_is_searched_in_pieces() {
        let folder = folder("long");
        let mut text = vec![b'x'; 3 * LONGEST_LINE as usize];
        text.extend_from_slice(b"\nfog\n");
        std::fs::write(folder.join("long"), &text).unwrap();
        let mut lines = Vec::new();
        let found = &files(&folder).unwrap()[0];
        file(&folder, found, &Regex::new("^fog$").unwrap(), &mut |l| {
            lines.push(String::from_utf8_lossy(l).into_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, ["long:2:fog\n"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
