//! The example jobs: each built module, in plain wasmtime with what a job sees, does what its README says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{repository, wordcount};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// What a program is given, as in a job.
#[derive(Default)]
struct Given<'a> {
    args: &'a [&'a str],
    index: Option<u32>,
    stdin: Vec<u8>,
    inputs: Option<&'a Path>,
}

/// What it made.
struct Made {
    exit: i32,
    stdout: String,
    stderr: String,
    out: TempDir,
}

impl Made {
    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}\n{}", self.stderr))
    }

    /// The last progress that it told.
    fn progress(&self) -> Option<f64> {
        self.stderr.lines().rev().find_map(|l| l.strip_prefix("fog:progress ")?.parse().ok())
    }
}

fn run(name: &str, given: Given) -> Made {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(Engine::default);
    let path = repository().join("examples").join(name).join(format!("{name}.wasm"));
    let module = Module::from_file(engine, &path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut linker: Linker<WasiP1Ctx> = Linker::new(engine);
    add_to_linker_sync(&mut linker, |ctx| ctx).unwrap();
    let (stdout, stderr) = (MemoryOutputPipe::new(8 << 20), MemoryOutputPipe::new(8 << 20));
    let (empty, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut wasi = WasiCtxBuilder::new();
    wasi.arg(name).args(given.args).stdin(MemoryInputPipe::new(given.stdin));
    wasi.stdout(stdout.clone()).stderr(stderr.clone());
    if let Some(index) = given.index {
        wasi.env("FOG_ARRAY_INDEX", index.to_string());
    }
    let inputs = given.inputs.unwrap_or(empty.path());
    wasi.preopened_dir(inputs, "/in", FsPerms::ReadOnly).unwrap();
    wasi.preopened_dir(out.path(), "/out", FsPerms::ReadWrite).unwrap();
    let mut store = Store::new(engine, wasi.build_p1());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    let exit = match start.call(&mut store, ()) {
        Ok(()) => 0,
        Err(e) => e.downcast_ref::<I32Exit>().unwrap_or_else(|| panic!("{name} crashed: {e:?}")).0,
    };
    drop(store);
    let text = |pipe: MemoryOutputPipe| String::from_utf8(pipe.contents().to_vec()).unwrap();
    Made { exit, stdout: text(stdout), stderr: text(stderr), out }
}

/// A PNG file as width, height and RGBA or RGB bytes.
fn picture(bytes: &[u8]) -> (u32, u32, Vec<u8>, usize) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels, info.color_type.samples())
}

#[test]
fn word_count_counts_as_wc_does() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    wordcount::write_text(&text, 300_000);
    let made = run("word-count", Given { stdin: std::fs::read(&text).unwrap(), ..Given::default() });
    assert_eq!(made.exit, 0, "{}", made.stderr);
    assert_eq!(wordcount::numbers(&made.stdout), wordcount::wc(&text));
}

#[test]
fn search_folder_finds_what_grep_finds_and_hashes_as_sha256sum_does() {
    let docs = repository().join("docs");
    let args = ["mixnet|harvest[a-z]*"];
    let made = run("search-folder", Given { args: &args, inputs: Some(&docs), ..Given::default() });
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let grep = Command::new("grep")
        .args(["-rnE", "--binary-files=without-match", args[0]])
        .current_dir(&docs)
        .env("LC_ALL", "C")
        .output();
    let grep = String::from_utf8(grep.unwrap().stdout).unwrap();
    let mut expected: Vec<&str> = grep.lines().map(|l| l.strip_prefix("./").unwrap_or(l)).collect();
    let mut found: Vec<&str> =
        made.stdout.lines().filter(|l| !l.ends_with("binary file that matches")).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert!(expected.len() > 20, "the documents speak of other things now");
    assert_eq!(found, expected);

    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict", "-"])
        .current_dir(&docs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(&made.file("SHA256SUMS")).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success());
    let files = std::fs::read_dir(&docs).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count();
    assert_eq!(String::from_utf8_lossy(&checked.stdout).lines().count(), files);
    assert_eq!(made.progress(), Some(1.0));
}

#[test]
fn search_folder_tells_of_a_pattern_that_it_cannot_read() {
    let made = run("search-folder", Given { args: &["(["], ..Given::default() });
    assert!(made.exit == 1 && made.stderr.contains("pattern"), "{} {}", made.exit, made.stderr);
}

/// The fields of a line that monte-carlo prints.
fn price(line: &str) -> HashMap<String, f64> {
    let fields: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    fields.as_object().unwrap().iter().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?))).collect()
}

#[test]
fn monte_carlo_agrees_with_black_and_scholes_also_in_parts() {
    // Hull's example of the formula: 4.76 for the call, 0.81 for the put.
    let hull = ["--spot", "42", "--strike", "40", "--rate", "0.1", "--volatility", "0.2", "--years", "0.5"];
    for (kind, exact) in [("call", 4.7594), ("put", 0.8086)] {
        let mut args = hull.to_vec();
        args.extend(["--kind", kind, "--paths", "200000"]);
        let parts: Vec<Made> = (0..4)
            .map(|index| run("monte-carlo", Given { args: &args, index: Some(index), ..Given::default() }))
            .collect();
        let prices: Vec<_> = parts.iter().map(|made| price(&made.stdout)).collect();
        for p in &prices {
            assert!((p["black_scholes"] - exact).abs() < 1e-4, "{p:?}");
            assert!((p["price"] - exact).abs() < 5.0 * p["standard_error"], "{p:?}");
            assert!(p["standard_error"] < 0.02, "{p:?}");
        }
        assert!(prices[1..].iter().all(|p| p["price"] != prices[0]["price"]), "parts must differ");

        let lines: String = parts.iter().map(|made| made.stdout.as_str()).collect();
        let sum = run("monte-carlo", Given { args: &["--combine"], stdin: lines.into(), ..Given::default() });
        let sum = price(&sum.stdout);
        assert_eq!(sum["paths"], 800_000.0);
        assert!((sum["price"] - exact).abs() < 5.0 * sum["standard_error"], "{sum:?}");
        let mean = prices.iter().map(|p| p["price"]).sum::<f64>() / 4.0;
        assert!((sum["price"] - mean).abs() < 1e-7);
        assert!(sum["standard_error"] < 0.6 * prices[0]["standard_error"]);
    }
}

#[test]
fn the_number_in_the_readme_of_monte_carlo_is_what_it_prints() {
    let made = run("monte-carlo", Given::default());
    let readme = std::fs::read_to_string(repository().join("examples/monte-carlo/README.md")).unwrap();
    assert!(made.stdout.len() > 40 && readme.contains(&made.stdout), "{}", made.stdout);
}

#[test]
fn thumbnails_shrink_pictures_and_skip_what_is_none() {
    let pictures = repository().join("examples/thumbnails/pictures");
    let made =
        run("thumbnails", Given { args: &["--size", "160"], inputs: Some(&pictures), ..Given::default() });
    assert_eq!(made.exit, 0, "{}", made.stderr);
    let readme = std::fs::read_to_string(repository().join("examples/thumbnails/README.md")).unwrap();
    assert!(readme.contains(&made.stdout), "{}", made.stdout);
    let (width, height, small, samples) = picture(&made.file("deep/page.png.png"));
    assert_eq!((width, height), (160, 100));
    // The colours of each quarter are those of the whole picture's quarters.
    let whole = picture(&std::fs::read(pictures.join("deep/page.png")).unwrap());
    assert_eq!(samples, 3);
    assert!(whole.3 == 1 || whole.3 == 3);
    let jpeg = picture(&made.file("film.jpg.png"));
    assert_eq!((jpeg.0, jpeg.1), (160, 90));
    // The film's picture shows the red ball at the same place as its source does.
    let at = |x: u32, y: u32| {
        let start = ((y * jpeg.0 + x) * 3) as usize;
        [jpeg.2[start], jpeg.2[start + 1], jpeg.2[start + 2]]
    };
    let [red, green, blue] = at(52, 38);
    assert!(red > 140 && green < red - 50 && blue < red - 50, "{:?}", at(52, 38));
    assert!(small.iter().any(|b| *b != small[0]), "an empty thumbnail");

    // An exact case: a fine chequerboard becomes the grey of half the light.
    let folder = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    let board: Vec<u8> = (0..64 * 64).map(|i| if (i % 64 + i / 64) % 2 == 0 { 255 } else { 0 }).collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&board).unwrap();
    writer.finish().unwrap();
    std::fs::write(folder.path().join("board.png"), &file).unwrap();
    std::fs::write(folder.path().join("cut.png"), &file[..file.len() / 2]).unwrap();
    std::fs::write(folder.path().join("text.jpg"), b"no picture").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"not looked at").unwrap();
    let given = Given { args: &["--size", "32"], inputs: Some(folder.path()), ..Given::default() };
    let made = run("thumbnails", given);
    assert_eq!(made.exit, 0, "{}", made.stderr);
    assert_eq!(picture(&made.file("board.png.png")), (32, 32, vec![188; 32 * 32 * 3], 3));
    assert!(made.stdout.ends_with("1 of 3 pictures\n"), "{}", made.stdout);
    assert!(["cut.png", "text.jpg"].iter().all(|n| made.stderr.contains(n)), "{}", made.stderr);
}

fn frame(index: u32, args: &[&str]) -> Vec<u8> {
    let made = run("render-frames", Given { args, index: Some(index), ..Given::default() });
    assert_eq!(made.exit, 0, "{}", made.stderr);
    assert_eq!(made.progress(), Some(1.0));
    made.file(&format!("frame-{index:04}.png"))
}

#[test]
fn a_rendered_matt_ball_in_even_light_is_of_one_grey() {
    let args = ["--scene", "furnace", "--width", "64", "--height", "48", "--samples", "48"];
    let (width, height, pixels, _) = picture(&frame(0, &args));
    assert_eq!((width, height), (64, 48));
    let at = |x: u32, y: u32| pixels[((y * width + x) * 3) as usize];
    // Half the light in sRGB, all over the ball; all of it beside.
    assert!((24..40).all(|x| (16..32).all(|y| at(x, y) == 188)));
    assert!([(0, 0), (63, 0), (0, 47), (63, 47)].iter().all(|(x, y)| at(*x, *y) == 255));
}

#[test]
fn a_frame_of_the_film_is_the_picture_beside_its_source() {
    let kept = repository().join("examples/render-frames/frame-0012.png");
    assert!(frame(12, &[]) == std::fs::read(kept).unwrap(), "frame 12 has other bytes");
    let small = ["--width", "32", "--height", "18", "--samples", "4"];
    assert_ne!(frame(3, &small), frame(4, &small));
}

#[test]
fn wrong_arguments_are_told() {
    for (name, args, about) in [
        ("render-frames", &["--width", "0"][..], "--width"),
        ("monte-carlo", &["--kind", "swap"], "swap"),
        ("thumbnails", &["--size", "much"], "--size"),
        ("thumbnails", &[], "no picture"),
        ("search-folder", &[], "usage"),
    ] {
        let made = run(name, Given { args, ..Given::default() });
        assert!(made.exit == 1 && made.stderr.contains(about), "{name}: {} {}", made.exit, made.stderr);
    }
}
