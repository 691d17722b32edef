//! Renders one frame of a short film by path tracing, and writes it to `/out/frame-NNNN.png`.
//!
//! As an array job (`--array 0-99`), each part renders the frame that `FOG_ARRAY_INDEX` names. The same frame has the
//! same bytes on every machine.

mod random;
mod scene;
mod trace;
mod vector;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: render-frames [--width 320] [--height 180] [--samples 128] [--frames 100] [--scene film|furnace] [--out /out]
The frame is the number in FOG_ARRAY_INDEX, 0 without it.";

struct Options {
    width: u32,
    height: u32,
    samples: u32,
    frames: u32,
    furnace: bool,
    out: PathBuf,
}

fn options(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { width: 320, height: 180, samples: 128, frames: 100, furnace: false, out: "/out".into() };
    let mut args = args;
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let number = |most: u32| match value.parse() {
            Ok(n) if (1..=most).contains(&n) => Ok(n),
            _ => Err(format!("{name} takes a number from 1 to {most}, not {value}")),
        };
        match name.as_str() {
            "--width" => options.width = number(7680)?,
            "--height" => options.height = number(4320)?,
            "--samples" => options.samples = number(65_536)?,
            "--frames" => options.frames = number(1_000_000)?,
            "--scene" => {
                options.furnace = match value.as_str() {
                    "film" => false,
                    "furnace" => true,
                    _ => return Err(format!("there is no scene {value}: film or furnace")),
                }
            }
            "--out" => options.out = value.into(),
            _ => return Err(format!("there is no option {name}\n{USAGE}")),
        }
    }
    Ok(options)
}

fn run() -> Result<(), String> {
    let options = options(std::env::args().skip(1))?;
    let frame = match std::env::var("FOG_ARRAY_INDEX") {
        Ok(text) => text.parse::<u32>().map_err(|_| format!("FOG_ARRAY_INDEX is no frame: {text}"))?,
        Err(_) => 0,
    };
    let scene = if options.furnace { scene::furnace() } else { scene::film(frame, options.frames) };
    let told = |rows: u32| {
        if rows % 8 == 0 || rows == options.height {
            eprintln!("fog:progress {:.3}", f64::from(rows) / f64::from(options.height));
        }
    };
    let pixels = trace::picture(&scene, options.width, options.height, options.samples, frame, told);
    let path = options.out.join(format!("frame-{frame:04}.png"));
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        let mut encoder = png::Encoder::new(&mut file, options.width, options.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        file.flush()?;
        Ok(())
    };
    write().map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    println!("frame {frame}: {} x {}, {} samples", options.width, options.height, options.samples);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("render-frames: {e}");
            ExitCode::FAILURE
        }
    }
}
