//! A hidden service, an exit and the SOCKS5 proxy as processes of their own, and curl as the application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Chaos, Process, eventually, fog};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

/// A page of 100 KB that has no pattern.
fn page() -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..100_000).map(|_| next()).collect()
}

/// A server that answers every request with the page.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut connection = connection?;
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte)? == 1 {
                    request.push(byte[0]);
                }
                let page = page();
                write!(
                    connection,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    page.len()
                )?;
                connection.write_all(&page)
            });
        }
    });
    address
}

/// Starts a command that prints one JSON object and goes on; gives the object.
fn start(folder: &Path, name: &str, args: &[&str]) -> (Process, Value) {
    let mut command = Command::new(fog());
    command.args(["--json", "--data-dir"]).arg(folder.join(name)).args(args);
    let process = Process::start(&mut command, folder, name);
    let printed = eventually("what it prints", || {
        let text = process.printed();
        let json = text.get(text.find("{\n")?..)?;
        serde_json::Deserializer::from_str(json).into_iter::<Value>().next()?.ok()
    });
    (process, printed)
}

/// What curl gets through the proxy: its exit code, what came, and what it says.
fn curl(proxy: &str, user: Option<&str>, url: &str) -> (Option<i32>, Vec<u8>, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "80", "--socks5-hostname", proxy]);
    if let Some(user) = user {
        command.args(["--proxy-user", &format!("{user}:x")]);
    }
    let output = command.arg(url).output().expect("curl runs");
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_page_of_a_hidden_service_loads_and_every_failure_has_its_reason() {
    let net = Chaos::start(&[]);
    let consensus = net.consensus.to_str().expect("a path");
    let folder = tempfile::tempdir().expect("temporary folder");
    let server = serve();
    let port = server.port().to_string();
    let allowed = format!("localhost:{port}");
    let key = folder.path().join("key");
    let common = ["--consensus", consensus, "--mean-delay-ms", "5"];
    let publish = ["service", "publish", "--key", key.to_str().expect("a path"), "--port", &port];
    let exit = ["--exit", "--allow", &allowed];
    let publish = [&publish[..], &exit, &common].concat();
    let (service, published) = start(folder.path(), "service", &publish);
    let (url, name) = (published["url"].as_str().expect("url"), published["name"].as_str().expect("name"));
    assert_eq!(url, format!("http://{name}/"));
    assert_eq!(published["hops"], 5, "nine relays are enough for five hops");
    assert_eq!((&published["points"], &published["test"]), (&Value::from(3), &Value::from(true)));

    let socks = [
        &["socks", "--listen", "127.0.0.1:0", "--exit", name, "--log", "warn,fog_services=debug"][..],
        &common,
    ]
    .concat();
    let (proxy, listening) = start(folder.path(), "proxy", &socks);
    let at = listening["socks"].as_str().expect("address");

    let (code, got, said) = curl(at, None, url);
    assert_eq!((code, got == page()), (Some(0), true), "{said}");
    let clear = format!("http://localhost:{port}/");
    let (code, got, said) = curl(at, None, &clear);
    assert_eq!((code, got == page()), (Some(0), true), "through the exit: {said}");

    // Two users have two sessions, and one user's next page takes the first one's.
    let sessions = || proxy.printed().matches("the session stands").count();
    assert_eq!(sessions(), 1);
    for (user, expected) in [("anna", 2), ("bert", 3), ("anna", 3)] {
        let (code, got, said) = curl(at, Some(user), url);
        assert_eq!((code, got == page()), (Some(0), true), "{said}");
        assert_eq!(sessions(), expected);
    }

    // curl says 97 (the proxy refused), and names the SOCKS reply.
    let nobody = "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5of3hyb.fog";
    for (url, reply, why) in [
        ("http://localhost:1/".to_owned(), "(2)", "NotAllowed"),
        (format!("http://{nobody}/"), "(4)", "no such service is there"),
        (format!("http://a{name}/"), "(4)", "is it complete?"),
        (format!("http://{name}:81/"), "(5)", "ConnectionRefused"),
    ] {
        let (code, _, said) = curl(at, None, &url);
        assert_eq!(code, Some(97), "{url}: {said}");
        assert!(said.contains(reply), "{url}: {said}");
        assert!(proxy.printed().contains(why), "{url}: {}", proxy.printed());
    }

    // The service starts again, and has the same name, with other introduction points.
    drop(service);
    let (_service, again) = start(folder.path(), "service-again", &publish);
    assert_eq!(again["name"], name);
    let (code, got, said) = curl(at, Some("carl"), url);
    assert_eq!((code, got == page()), (Some(0), true), "{said}");
}

#[test]
fn what_cannot_be_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path().join("net");
    let run = |args: &[&str]| {
        let output =
            Command::new(fog()).arg("--data-dir").arg(folder.path()).args(args).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["socks", "--listen", "0.0.0.0:0"]);
    assert!(code == Some(2) && said.contains("loopback"), "{said}");
    let (code, said) = run(&["socks", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(1) && said.contains("--consensus"), "{said}");
    assert_eq!(run(&["socks", "--exit", "example.org"]).0, Some(2));
    assert_eq!(run(&["service", "publish"]).0, Some(2), "nothing is offered");
    assert_eq!(run(&["service", "publish", "--exit"]).0, Some(2), "an exit to nowhere");
    // Three relays are too few for five hops: no other level is taken instead.
    let made = run(&["mixnet", "new", "--mixnodes", "3", "--dir", dir.to_str().expect("a path")]);
    assert_eq!(made.0, Some(0), "{}", made.1);
    let consensus = dir.join("consensus");
    let consensus = consensus.to_str().expect("a path");
    let (code, said) =
        run(&["socks", "--listen", "127.0.0.1:0", "--privacy", "confidential", "--consensus", consensus]);
    assert!(code == Some(4) && said.contains("too small"), "{said}");
}
