//! Prices an option by simulation, with its standard error, and beside it the exact price where there is a formula.
//!
//! As an array job, each part simulates paths of its own; `--combine` adds up what the parts printed.

mod option;
mod random;

use option::{Contract, Estimate, Kind};
use std::io::BufRead;
use std::process::ExitCode;

const USAGE: &str = "\
usage: monte-carlo [--kind call|put|asian] [--spot 100] [--strike 105] [--rate 0.03] [--volatility 0.2] [--years 1]
                   [--dates 12] [--paths 2000000] [--seed 1]
       monte-carlo --combine      adds up results read from standard input
The stream of random numbers is that of FOG_ARRAY_INDEX, 0 without it.";

/// Lines that `--combine` reads at most.
const PARTS: usize = 1_000_000;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("monte-carlo: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<String, String> {
    if let [only] = args
        && only == "--combine"
    {
        return add_up(std::io::stdin().lock());
    }
    let mut c = Contract {
        kind: Kind::Call,
        spot: 100.0,
        strike: 105.0,
        rate: 0.03,
        volatility: 0.2,
        years: 1.0,
        dates: 12,
    };
    let (mut paths, mut seed) = (2_000_000u64, 1u64);
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} needs a value\n{USAGE}", pair[0])) };
        match name.as_str() {
            "--kind" => {
                c.kind = match value.as_str() {
                    "call" => Kind::Call,
                    "put" => Kind::Put,
                    "asian" => Kind::Asian,
                    _ => return Err(format!("there is no kind {value}: call, put or asian")),
                }
            }
            "--spot" => c.spot = number(name, value, 1e-6, 1e9)?,
            "--strike" => c.strike = number(name, value, 1e-6, 1e9)?,
            "--rate" => c.rate = number(name, value, -1.0, 1.0)?,
            "--volatility" => c.volatility = number(name, value, 1e-3, 5.0)?,
            "--years" => c.years = number(name, value, 1e-3, 100.0)?,
            "--dates" => c.dates = number(name, value, 1.0, 1e6)? as u32,
            "--paths" => paths = number(name, value, 4.0, 1e15)? as u64,
            "--seed" => {
                seed = value.parse().map_err(|_| format!("{name} takes a whole number, not {value}"))?
            }
            _ => return Err(format!("there is no option {name}\n{USAGE}")),
        }
    }
    let stream = match std::env::var("FOG_ARRAY_INDEX") {
        Ok(text) => text.parse().map_err(|_| format!("FOG_ARRAY_INDEX is no number: {text}"))?,
        Err(_) => 0,
    };
    let mut random = random::Random::new(seed, stream);
    let mut shown = 0;
    let estimate = option::simulate(&c, paths, &mut random, |done| {
        let now = done * 100 / paths.max(1);
        if now != shown {
            shown = now;
            eprintln!("fog:progress {:.2}", done as f64 / paths as f64);
        }
    });
    Ok(line(&estimate, option::black_scholes(&c)))
}

fn number(name: &str, text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("{name} takes a number from {least} to {most}, not {text}")),
    }
}

/// One line of JSON.
fn line(estimate: &Estimate, exact: Option<f64>) -> String {
    let exact = exact.map_or_else(|| "null".into(), |price| format!("{price:.8}"));
    format!(
        r#"{{"price":{:.8},"standard_error":{:.8},"paths":{},"black_scholes":{exact}}}"#,
        estimate.mean, estimate.standard_error, estimate.paths
    )
}

fn add_up(input: impl BufRead) -> Result<String, String> {
    let (mut parts, mut exact) = (Vec::new(), None);
    for text in input.lines() {
        let text = text.map_err(|e| format!("standard input: {e}"))?;
        if text.trim().is_empty() {
            continue;
        }
        let field = |name: &str| {
            let rest = text.split(&format!("\"{name}\":")).nth(1)?;
            rest.split([',', '}']).next()?.trim().parse::<f64>().ok().filter(|n| n.is_finite())
        };
        let all = (field("price"), field("standard_error"), field("paths"));
        let (Some(mean), Some(standard_error), Some(paths)) = all else {
            return Err(format!("this is no result of monte-carlo: {text}"));
        };
        parts.push(Estimate { mean, standard_error, paths: paths as u64 });
        exact = field("black_scholes");
        if parts.len() > PARTS {
            return Err(format!("more than {PARTS} results"));
        }
    }
    if parts.is_empty() {
        return Err("there is nothing to add up on standard input".into());
    }
    Ok(line(&option::combine(&parts), exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_added_up() {
        let one =
            r#"{"price":2.00000000,"standard_error":0.30000000,"paths":100,"black_scholes":2.10000000}"#;
        let two =
            r#"{"price":4.00000000,"standard_error":0.40000000,"paths":100,"black_scholes":2.10000000}"#;
        let sum = add_up(format!("{one}\n\n{two}\n").as_bytes()).unwrap();
        assert_eq!(
            sum,
            r#"{"price":3.00000000,"standard_error":0.25000000,"paths":200,"black_scholes":2.10000000}"#
        );
        assert!(add_up(&b"{\"price\":NaN}"[..]).unwrap_err().contains("no result"));
        assert!(add_up(&b""[..]).is_err());
    }

    #[test]
    fn nonsense_is_told() {
        for (args, about) in
            [(&["--paths", "0"][..], "--paths"), (&["--spot"], "value"), (&["--no", "1"], "--no")]
        {
            let args: Vec<_> = args.iter().map(ToString::to_string).collect();
            let told = run(&args).unwrap_err();
            assert!(told.contains(about), "{told}");
        }
    }
}
