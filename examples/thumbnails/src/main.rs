//! Makes a thumbnail of every picture below `/in` and writes it to `/out` as PNG, with the same folders.
//!
//! PNG and JPEG are read. A file that is no picture is told and skipped. Standard output has a line for each thumbnail.

mod decode;
mod picture;

use picture::Picture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: thumbnails [--size 128] [--in /in] [--out /out]";
/// Folders within folders at most.
const DEPTH: usize = 64;

struct Options {
    size: u32,
    folder: PathBuf,
    out: PathBuf,
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { size: 128, folder: "/in".into(), out: "/out".into() };
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} needs a value\n{USAGE}", pair[0])) };
        match name.as_str() {
            "--size" => {
                let size = value.parse().ok().filter(|n| (1..=4096).contains(n));
                options.size = size.ok_or(format!("--size takes a number from 1 to 4096, not {value}"))?;
            }
            "--in" => options.folder = value.into(),
            "--out" => options.out = value.into(),
            _ => return Err(format!("there is no option {name}\n{USAGE}")),
        }
    }
    Ok(options)
}

/// Every file below the folder that looks like a picture by its name, relative to it and sorted.
fn pictures(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, below.join(entry.file_name()));
            let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
            if kind.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg")) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn thumbnail(options: &Options, name: &Path) -> Result<String, String> {
    let bytes = std::fs::read(options.folder.join(name)).map_err(|e| e.to_string())?;
    let whole = decode::decode(&bytes)?;
    let (width, height) = picture::fit(whole.width, whole.height, options.size);
    let small = whole.shrink(width, height);
    let mut to = options.out.join(name).into_os_string();
    to.push(".png");
    let to = PathBuf::from(to);
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_png(&small, std::fs::File::create(&to)?)
    };
    write().map_err(|e| format!("{} cannot be written: {e}", to.display()))?;
    Ok(format!("{}: {} x {} to {width} x {height}", name.display(), whole.width, whole.height))
}

fn write_png(picture: &Picture, file: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = std::io::BufWriter::new(file);
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    let opaque = picture.pixels.chunks_exact(4).all(|p| p[3] == 255);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    if opaque {
        let rgb: Vec<u8> = picture.pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        writer.write_image_data(&rgb)?;
    } else {
        writer.write_image_data(&picture.pixels)?;
    }
    writer.finish()?;
    Ok(file.flush()?)
}

fn run() -> Result<(), String> {
    let options = options(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let files =
        pictures(&options.folder).map_err(|e| format!("{} cannot be read: {e}", options.folder.display()))?;
    let mut made = 0;
    for (number, name) in files.iter().enumerate() {
        match thumbnail(&options, name) {
            Ok(line) => {
                println!("{line}");
                made += 1;
            }
            Err(e) => eprintln!("thumbnails: {}: {e}", name.display()),
        }
        eprintln!("fog:progress {:.3}", (number + 1) as f64 / files.len() as f64);
    }
    println!("{made} of {} pictures", files.len());
    if made == 0 {
        return Err("there is no picture (.png, .jpg) among the inputs".into());
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("thumbnails: {e}");
            ExitCode::FAILURE
        }
    }
}
