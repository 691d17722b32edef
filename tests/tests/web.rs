//! The page's server: nobody gets in without the token, and no other web page does at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

struct Site {
    url: String,
    host: String,
    token: String,
}

fn site(node: &Node) -> Site {
    let access: Value = serde_json::from_slice(&std::fs::read(node.dir.join("api.json")).unwrap()).unwrap();
    let url = access["url"].as_str().unwrap().to_string();
    Site {
        host: url.trim_start_matches("http://").into(),
        url,
        token: access["token"].as_str().unwrap().into(),
    }
}

/// A raw request, so that every header is ours. Gives the answer's head and body.
fn raw(site: &Site, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(&site.host).unwrap();
    write!(stream, "{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn only_the_token_opens_and_only_from_the_pages_own_address() {
    let node = Node::new("Ada", &[]);
    let s = site(&node);
    let state = r#"{"command":"get_state"}"#;
    let post = |host: &str, more: &str| {
        raw(
            &s,
            &format!("POST /api/command HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json{more}"),
            state,
        )
    };
    let bearer = format!("\r\nauthorization: Bearer {}", s.token);
    assert!(post(&s.host, &bearer).starts_with("HTTP/1.1 200"));
    assert!(post(&s.host, "").starts_with("HTTP/1.1 401"));
    assert!(post(&s.host, "\r\nauthorization: Bearer 0123456789").starts_with("HTTP/1.1 401"));
    assert!(post("evil.example", &bearer).starts_with("HTTP/1.1 403"), "DNS rebinding");
    let other = format!("{bearer}\r\norigin: http://evil.example");
    assert!(post(&s.host, &other).starts_with("HTTP/1.1 403"), "another page");
    assert!(post(&s.host, &format!("{bearer}\r\norigin: null")).starts_with("HTTP/1.1 403"));
    for path in ["/api/events", "/api/blobs/00"] {
        let answer = raw(&s, &format!("GET {path} HTTP/1.1\r\nhost: {}", s.host), "");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }

    // The page itself is open, but holds nothing, and its policy keeps everything else out.
    let page = raw(&s, &format!("GET / HTTP/1.1\r\nhost: {}", s.host), "");
    let policy = page.lines().find(|l| l.starts_with("content-security-policy")).expect("a policy");
    assert!(
        policy.contains("default-src 'none'")
            && !policy.contains("unsafe-inline")
            && !policy.contains(" 'unsafe-eval'")
    );
    assert!(page.contains("x-content-type-options: nosniff"));

    // The browser's way: the token for a cookie, the cookie for everything.
    let login = |token: &str| {
        let head =
            format!("POST /api/session HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json", s.host);
        raw(&s, &head, &json!({"token": token}).to_string())
    };
    assert!(login("wrong").starts_with("HTTP/1.1 401"));
    let answer = login(&s.token);
    let cookie = answer.lines().find(|l| l.starts_with("set-cookie")).expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let cookie = cookie.trim_start_matches("set-cookie: ").split(';').next().unwrap();
    assert!(!cookie.contains(&s.token), "the cookie is not the token");
    assert!(post(&s.host, &format!("\r\ncookie: {cookie}")).starts_with("HTTP/1.1 200"));
}

#[test]
fn bad_commands_get_an_error_and_content_comes_back_as_it_was() {
    let node = Node::new("Ada", &[]);
    let s = site(&node);
    let bearer = format!("Bearer {}", s.token);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (body, kind) in [
        ("nonsense", "bad_input"),
        (r#"{"command":"format_disk"}"#, "bad_input"),
        (r#"{"command":"send_message","peer":"zz","text":"x"}"#, "bad_input"),
        (r#"{"command":"create_identity","name":"Eve"}"#, "conflict"),
    ] {
        let mut answer =
            agent.post(format!("{}/api/command", s.url)).header("authorization", &bearer).send(body).unwrap();
        let error: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(error["kind"], kind, "{body}: {error}");
    }
    let big = "x".repeat(2 << 20);
    let refused = agent.post(format!("{}/api/command", s.url)).header("authorization", &bearer).send(&big);
    assert!(refused.is_err() || refused.is_ok_and(|r| r.status() == 413), "a command above 1 MiB");

    let content: Vec<u8> = (0..700_000u32).map(|i| (i * 31) as u8).collect();
    let mut answer = agent
        .post(format!("{}/api/blobs", s.url))
        .header("authorization", &bearer)
        .send(&content[..])
        .unwrap();
    let hash: String = answer.body_mut().read_json().unwrap();
    let mut answer =
        agent.get(format!("{}/api/blobs/{hash}", s.url)).header("authorization", &bearer).call().unwrap();
    assert_eq!(answer.headers()["content-disposition"], "attachment");
    assert_eq!(answer.body_mut().read_to_vec().unwrap(), content);
}

#[test]
fn the_token_is_for_the_owner_alone_and_stays_over_restarts() {
    use std::os::unix::fs::PermissionsExt;
    let mut node = Node::new("Ada", &[]);
    let before = site(&node).token;
    for name in ["api.json", "secrets.json"] {
        let mode = std::fs::metadata(node.dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert!(!node.printed().contains("TRACE"));
    node.kill();
    node.start();
    assert_eq!(site(&node).token, before);
}

/// Sealed secrets: locked after a restart, opened by the right passphrase only, and always the same person.
#[test]
fn a_passphrase_locks_the_node_and_only_it_opens_it_again() {
    let mut node = Node::new("Ada", &[]);
    let ask = |node: &Node, command: Value| {
        // The page's address is another after each start.
        let s = eventually("the page", || {
            let s = site(node);
            TcpStream::connect(&s.host).ok().map(|_| s)
        });
        let head = format!(
            "POST /api/command HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nauthorization: Bearer {}",
            s.host, s.token
        );
        raw(&s, &head, &command.to_string())
    };
    let state = |node: &Node| {
        let answer = ask(node, json!({"command": "get_state"}));
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        serde_json::from_str::<Value>(body.get(body.find('{').unwrap()..=body.rfind('}').unwrap()).unwrap())
            .unwrap()
    };
    let set = |node: &Node, current: Value, new: &str| {
        ask(node, json!({"command": "set_passphrase", "current": current, "new": new}))
    };
    let me = state(&node)["me"]["id"].clone();
    assert!(me.is_string());
    assert!(set(&node, Value::Null, "a long enough one").starts_with("HTTP/1.1 200"));
    // Changing it takes the present one.
    assert!(!set(&node, Value::Null, "somebody else's").starts_with("HTTP/1.1 200"));
    assert!(!set(&node, json!("a wrong one"), "somebody else's").starts_with("HTTP/1.1 200"));

    node.kill();
    let secrets = std::fs::read(node.dir.join("secrets.json")).unwrap();
    std::fs::remove_file(node.dir.join("api.json")).unwrap();
    node.spawn();
    eventually("the node to be up", || node.dir.join("api.json").exists().then_some(()));
    assert_eq!(state(&node)["phase"], "locked");
    let unlock = |passphrase: &str| ask(&node, json!({"command": "unlock", "passphrase": passphrase}));
    assert!(!unlock("somebody else's").starts_with("HTTP/1.1 200"));
    assert_eq!(state(&node)["phase"], "locked");
    assert_eq!(std::fs::read(node.dir.join("secrets.json")).unwrap(), secrets, "nothing was made anew");
    assert!(unlock("a long enough one").starts_with("HTTP/1.1 200"));
    assert_eq!((state(&node)["phase"].clone(), state(&node)["me"]["id"].clone()), (json!("ready"), me));
}
