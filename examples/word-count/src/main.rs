//! Counts lines, words and bytes of standard input as `LC_ALL=C wc` does, and prints them in its format.

use std::io::{self, Read, Write};
use std::process::ExitCode;

/// What was counted so far.
#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    /// True if the last byte belongs to a word, which may go on in the next piece.
    in_word: bool,
}

/// What a byte does to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Ends it.
    Space,
    /// Starts it or continues it.
    Printable,
    /// Neither: `wc` in the C locale starts no word at a byte that cannot be printed, nor ends one.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => Class::Space,
            0x21..=0x7e => Class::Printable,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

impl Counts {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let mut in_word = self.in_word;
        for &byte in piece {
            self.lines += u64::from(byte == b'\n');
            match CLASSES[byte as usize] {
                Class::Space => in_word = false,
                Class::Printable => {
                    self.words += u64::from(!in_word);
                    in_word = true;
                }
                Class::Other => {}
            }
        }
        self.in_word = in_word;
    }
}

fn count(mut input: impl Read) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(counts),
            Ok(n) => counts.add(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn main() -> ExitCode {
    let done = count(io::stdin().lock())
        .and_then(|c| writeln!(io::stdout(), "{:7} {:7} {:7}", c.lines, c.words, c.bytes));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "word-count: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The three numbers of the system's own `wc` in the C locale.
    fn wc(input: &[u8]) -> String {
        let mut child = Command::new("wc")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("wc");
        child.stdin.take().unwrap().write_all(input).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn ours(input: &[u8], piece: usize) -> String {
        let mut counts = Counts::default();
        input.chunks(piece).for_each(|piece| counts.add(piece));
        format!("{:7} {:7} {:7}\n", counts.lines, counts.words, counts.bytes)
    }

    /// SplitMix64, so that a failure can be repeated.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn the_same_as_wc_on_anything() {
        let mut state = 42;
        let small = b"ab \n\t\x0b\x0c\r\x00\x01\x7f\x80\xa0\xc3\xff";
        for round in 0..300 {
            let len = (random(&mut state) % 5000) as usize;
            let input: Vec<u8> = (0..len)
                .map(|_| match round % 3 {
                    0 => random(&mut state) as u8,
                    1 => small[random(&mut state) as usize % small.len()],
                    _ => b' ' + (random(&mut state) % 95) as u8,
                })
                .collect();
            assert_eq!(ours(&input, 1 + round), wc(&input), "round {round}: {input:?}");
        }
    }

    #[test]
    fn every_byte_alone_and_inside_a_word() {
        for byte in 0..=255u8 {
            for input in [&[byte][..], &[b'a', byte, b'b'], &[byte, b'a'], &[b'a', b' ', byte, b' ']] {
                assert_eq!(ours(input, 1), wc(input), "{input:?}");
            }
        }
    }
}
