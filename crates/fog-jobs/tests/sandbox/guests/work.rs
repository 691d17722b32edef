//! Works for a while with state in every place that a program has it: deep stacks, the heap, function pointers, open files,
//! standard input and output, random numbers. Whatever is done to it on the way, its output must be the same.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

trait Step {
    fn step(&self, depth: u32, state: &mut u64) -> f64;
}
struct Add(u64);
struct Mix;

impl Step for Add {
    fn step(&self, depth: u32, state: &mut u64) -> f64 {
        *state = state.wrapping_add(self.0 + u64::from(depth));
        (*state % 1000) as f64 / 7.0
    }
}
impl Step for Mix {
    fn step(&self, depth: u32, state: &mut u64) -> f64 {
        for n in 0..depth {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << (17 + (n & 1));
        }
        (*state as f64).sqrt()
    }
}

fn deep(steps: &[Box<dyn Step>], depth: u32, state: &mut u64, trail: &mut Vec<f64>) -> f64 {
    if depth == 0 {
        return 1.0;
    }
    let step = &steps[(*state % steps.len() as u64) as usize];
    let here = step.step(depth, state);
    trail.push(here);
    let below = deep(steps, depth - 1, state, trail);
    let wide = if *state % 5 == 0 { deep(steps, depth / 2, state, trail) } else { 0.5 };
    here * 0.25 + below.sin() + wide.cos()
}

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let steps: Vec<Box<dyn Step>> = vec![Box::new(Add(3)), Box::new(Mix), Box::new(Add(7))];
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = std::io::stdin().lock().lines();
    let mut file = std::fs::File::create("/out/trail").unwrap();
    let (mut state, mut sum) = (0x9e37_79b9_7f4a_7c15u64, 0.0);
    for round in 0..rounds {
        let mut trail = Vec::new();
        sum += deep(&steps, 24, &mut state, &mut trail);
        if let Some(Ok(line)) = lines.next() {
            for word in line.split_whitespace() {
                *words.entry(word.to_owned()).or_default() += state % 10;
            }
        }
        if round % 16 == 0 {
            println!("{round} {} {:016x}", trail.len(), sum.to_bits());
            writeln!(file, "{round} {state:016x}").unwrap();
        }
        if round % 64 == 0 {
            eprintln!("fog:progress {}", f64::from(round) / f64::from(rounds));
        }
    }
    let hash = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), state);
    println!("{state:016x} {:016x} {words:?} {hash:016x}", sum.to_bits());
}
