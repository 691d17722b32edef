//! Looks at everything that a job is given, and tries what it is not. Each line of the output is checked by a test.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime};

fn word<T>(result: std::io::Result<T>) -> &'static str {
    if result.is_ok() { "ok" } else { "refused" }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["wait"] {
        // As programs wait that may be woken too early.
        let until = Instant::now() + Duration::from_secs(3600);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left);
        }
        println!("waited an hour");
        return;
    }
    println!("args {}", args.join(","));
    let mut env: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    env.sort();
    println!("env {}", env.join(","));
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    println!("stdin {input}");

    let mut names: Vec<String> =
        fs::read_dir("/in/data").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    println!("in {}", names.join(","));
    println!("a {}", fs::read_to_string("/in/data/a.txt").unwrap());
    println!("size {}", fs::metadata("/in/data/a.txt").unwrap().len());
    println!("write to /in {}", word(fs::write("/in/data/a.txt", "x")));
    println!("make in /in {}", word(fs::write("/in/new", "x")));
    println!("remove from /in {}", word(fs::remove_file("/in/data/a.txt")));

    fs::create_dir_all("/out/deep/er").unwrap();
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open("/out/deep/er/b.txt")
        .unwrap();
    file.write_all(b"hello world").unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    file.write_all(b"W").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut back = String::new();
    file.read_to_string(&mut back).unwrap();
    println!("b {back}");
    let mut more = fs::OpenOptions::new().append(true).open("/out/deep/er/b.txt").unwrap();
    more.write_all(b"!").unwrap();
    fs::rename("/out/deep", "/out/moved").unwrap();
    fs::write("/out/gone", "x").unwrap();
    fs::remove_file("/out/gone").unwrap();
    println!("list {}", fs::read_dir("/out").unwrap().count());

    for path in [
        "/etc/passwd",
        "/out/../etc/passwd",
        "/out/../../etc/passwd",
        "/in/../../../../etc/passwd",
        "/out/moved/../../../etc/passwd",
        "/proc/self/mem",
        "etc/passwd",
    ] {
        println!("open {path} {}", word(fs::File::open(path)));
    }
    println!("link {}", word(fs::hard_link("/in/data/a.txt", "/out/link")));
    println!("connect {}", word(std::net::TcpStream::connect("127.0.0.1:9")));

    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(30));
    println!("slept {}", began.elapsed() >= Duration::from_millis(30));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    println!("second {}", now.as_secs());
    println!("chance {:?}", std::collections::hash_map::RandomState::new());
    let hasher = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 1);
    println!("drawn {hasher}");
    eprintln!("fog:progress 0.5");
    eprintln!("the end");
}
