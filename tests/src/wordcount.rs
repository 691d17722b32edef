//! The word-count job and its judge.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built module of the example.
pub fn module() -> PathBuf {
    crate::repository().join("examples/word-count/word-count.wasm")
}

/// Writes a text of at least `bytes` bytes, with lines of many lengths, tabs and letters beyond ASCII.
pub fn write_text(path: &Path, bytes: usize) {
    let words = ["fog", "mixnode", "the", "a", "packet\t", "Grüße", "relay", "naïve", "  ", "1,000"];
    let mut text = String::with_capacity(bytes + 200);
    let mut state = 42u64; // SplitMix64, so that every run counts the same text
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    while text.len() < bytes {
        for _ in 0..draw() % 24 {
            let word = words[(draw() % words.len() as u64) as usize];
            write!(text, "{word} ").expect("writes to memory");
        }
        text.push('\n');
    }
    std::fs::write(path, text).expect("writes the text");
}

/// What `wc` counts: lines, words, bytes.
pub fn wc(path: &Path) -> Vec<u64> {
    let output =
        Command::new("wc").env("LC_ALL", "C").stdin(std::fs::File::open(path).expect("opens")).output();
    numbers(&String::from_utf8_lossy(&output.expect("wc runs").stdout))
}

/// The numbers of a text.
pub fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|w| w.parse().ok()).collect()
}
