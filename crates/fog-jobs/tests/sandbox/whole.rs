//! A useful program.

use super::Run;

pub(super) fn word_count_counts_as_wc_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/word-count.wasm");
    let mut run = Run::new(std::fs::read(path).unwrap());
    let text: String = (0..200_000u32)
        .map(|n| if n % 11 == 0 { "tea\tfor two\n".to_owned() } else { format!("{n} ") })
        .collect();
    assert!(text.len() > 1_000_000);
    run.input = Some(text.clone().into_bytes());
    assert_eq!(run.run().unwrap().exit_code, 0);
    let expected = [text.matches('\n').count(), text.split_ascii_whitespace().count(), text.len()];
    let counted: Vec<usize> = String::from_utf8(run.output())
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(counted, expected);
}
