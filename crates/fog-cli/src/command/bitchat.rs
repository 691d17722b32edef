//! `fog bitchat`: packets of the mesh protocol as JSON, and back. It needs no node.

use crate::args::{BitchatCommand, Global};
use crate::output;
use anyhow::{Context, Result, anyhow};
use bitchat::json::{Keyring, build, describe};
use bitchat::packet::MAX_PACKET;
use fog_api::{ApiError, ErrorKind};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// The longest text that is read: the longest packet three times over in hexadecimal, and then some.
const MAX_INPUT: u64 = 8 * MAX_PACKET as u64;
/// The longest file of keys.
const MAX_KEY_FILE: u64 = 64 * 1024;

pub(crate) fn run(global: &Global, command: &BitchatCommand) -> Result<()> {
    match command {
        BitchatCommand::Decode { packet, key } => decode(packet, &keyring(key)?),
        BitchatCommand::Encode { description, key } => encode(global, description, &keyring(key)?),
    }
}

fn decode(packet: &str, keys: &Keyring) -> Result<()> {
    let text =
        if packet == "-" { read(io::stdin().lock(), "standard input", MAX_INPUT)? } else { packet.into() };
    let bytes = unhex(&text)?;
    let description = describe(&bytes, keys);
    print(&description.json)?;
    match description.problems.as_slice() {
        [] => Ok(()),
        problems => Err(anyhow!("{}", problems.join("; "))),
    }
}

fn encode(global: &Global, description: &str, keys: &Keyring) -> Result<()> {
    let text = match description {
        "-" => read(io::stdin().lock(), "standard input", MAX_INPUT)?,
        path => read(open(path)?, path, MAX_INPUT)?,
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| bad(format!("this is not JSON: {e}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = u64::try_from(now.as_millis()).context("the clock is too far ahead")?;
    let packet = build(&value, keys, now).map_err(|e| bad(e.to_string()))?;
    // Wrong packets may be made on purpose, so what is wrong is said and does not fail.
    let problems = describe(&packet, keys).problems;
    let reply = json!({"hex": hex::encode(&packet), "length": packet.len(), "problems": problems});
    output::show(global, &reply, |out, _| writeln!(out, "{}", hex::encode(&packet)))?;
    if !global.json {
        let mut err = io::stderr().lock();
        for problem in problems {
            _ = writeln!(err, "fog: note: {problem}");
        }
    }
    Ok(())
}

/// Hexadecimal digits as people paste them: in any case, with spaces, colons, line ends, or `0x` in front.
fn unhex(text: &str) -> Result<Vec<u8>> {
    let text = text.trim();
    let digits: String =
        text.strip_prefix("0x").unwrap_or(text).chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    if let Some(other) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(bad(format!("a packet is given in hexadecimal digits; {other:?} is none")));
    }
    hex::decode(&digits).map_err(|_| bad(format!("{} hexadecimal digits are no whole bytes", digits.len())))
}

/// Keys as `KIND:HEX`, or in files with one a line.
fn keyring(given: &[String]) -> Result<Keyring> {
    let mut keys = Keyring::default();
    for key in given {
        let kind = key.split(':').next().unwrap_or_default();
        if Keyring::KINDS.contains(&kind) && !Path::new(key).exists() {
            keys.add(key).map_err(|e| bad(format!("--key: {e}")))?;
            continue;
        }
        let file = File::open(key).map_err(|e| {
            let kinds = Keyring::KINDS.join(", ");
            bad(format!("--key takes KIND:HEX, where KIND is one of {kinds}, or a file of such lines: {e}"))
        })?;
        let text = Zeroizing::new(read(file, key, MAX_KEY_FILE)?);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.add(line).map_err(|e| bad(format!("{key}, line {}: {e}", number + 1)))?;
            }
        }
    }
    Ok(keys)
}

fn open(path: &str) -> Result<File> {
    File::open(path).map_err(|e| {
        let kind =
            if e.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::BadInput };
        ApiError::new(kind, format!("cannot read {path}: {e}")).into()
    })
}

fn read(from: impl Read, what: &str, most: u64) -> Result<String> {
    let mut text = String::new();
    let len = from
        .take(most + 1)
        .read_to_string(&mut text)
        .map_err(|e| bad(format!("cannot read {what} as text: {e}")))?;
    if len as u64 > most {
        return Err(bad(format!("{what} is longer than {most} bytes")));
    }
    Ok(text)
}

/// The description is JSON whether or not `--json` is given: it is what the command is for.
fn print(value: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    let text = serde_json::to_string_pretty(value)?;
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn bad(text: String) -> anyhow::Error {
    ApiError::new(ErrorKind::BadInput, text).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hexadecimal_is_taken_as_people_paste_it() {
        for text in ["0102ab", " 01 02\nAB\n", "01:02:ab", "0x0102ab"] {
            assert_eq!(unhex(text).unwrap(), [1, 2, 0xab]);
        }
        assert!(unhex("012").unwrap_err().to_string().contains("3 hexadecimal digits"));
        assert!(unhex("zz").unwrap_err().to_string().contains("'z' is none"));
    }

    #[test]
    fn keys_come_from_the_command_line_and_from_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let line = format!("group:{}", "07".repeat(32));
        std::fs::write(&path, format!("# keys\n\n{line}\nnoise:12\n")).unwrap();
        assert!(keyring(std::slice::from_ref(&line)).is_ok());
        let error = keyring(std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains("line 4") && !error.contains("0707"), "{error}");
        std::fs::write(&path, &line).unwrap();
        assert!(keyring(&[path]).is_ok());
        assert!(keyring(&["nothing".into()]).unwrap_err().to_string().contains("--key takes KIND:HEX"));
    }
}
