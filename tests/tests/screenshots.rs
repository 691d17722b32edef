//! A picture of every screen, light and dark, wide and narrow, of a node with real data. `cargo xtask screenshots`
//! runs it; it is no test of its own, so it is ignored otherwise. The pictures land in `FOG_SCREENSHOTS`.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::browser::{Browser, access};
use fog_e2e::{Chaos, Node, eventually, wordcount};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Width and height of each shape.
const SHAPES: [(&str, u32, u32); 2] = [("wide", 1280, 800), ("narrow", 390, 844)];

/// A picture: its name, where in the page it is, and a mark that is there once the screen is.
struct Screen {
    name: &'static str,
    place: String,
    mark: &'static str,
    /// What is pressed before the picture is taken.
    press: Option<&'static str>,
    /// What is brought to the top of the picture, if that is not the top of the screen.
    look: Option<&'static str>,
}

/// A screen as it opens.
fn screen(name: &'static str, place: impl Into<String>, mark: &'static str) -> Screen {
    Screen { name, place: place.into(), mark, press: None, look: None }
}

fn folder() -> PathBuf {
    let folder = std::env::var_os("FOG_SCREENSHOTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| fog_e2e::repository().join("target/screenshots"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Takes a screen in every shape and both colours.
fn take(browser: &Browser, folder: &Path, url: &str, screen: &Screen) {
    for (shape, width, height) in SHAPES {
        browser.resize(width, height);
        for colours in ["light", "dark"] {
            browser.colours(colours);
            browser.goto(&format!("{url}/#/{}", screen.place));
            if colours == "light" || screen.press.is_some() {
                // Some of the page looks at the screen once, when it starts; and a dialog stays open.
                browser.reload();
            }
            browser.wait(screen.mark);
            if let Some(button) = screen.press {
                browser.click(button);
            }
            eventually("the colours", || {
                (browser.value("document.documentElement.dataset.theme") == colours).then_some(())
            });
            if let Some(look) = screen.look {
                browser.value(&format!("document.querySelector('[data-testid={look}]').scrollIntoView()"));
            }
            settle(browser);
            let path = folder.join(format!("{}-{colours}-{shape}.png", screen.name));
            std::fs::write(path, browser.picture()).unwrap();
        }
    }
}

/// Waits until nothing of the page is loading and two frames look alike.
fn settle(browser: &Browser) {
    eventually("the page to be still", || {
        let loading = browser.find("[aria-busy='true'], .skeleton");
        let still = browser.script(
            "const done = arguments[0], look = () => document.body.innerText.length; const before = look(); \
             document.fonts.ready.then(() => setTimeout(() => done(before === look()), 250))",
        );
        (loading.is_empty() && still == Ok(true.into())).then_some(())
    });
}

fn id(view: &Value) -> String {
    view["id"].as_str().expect("an id").into()
}

/// What two friends and an idle computer leave behind in a few minutes.
struct Story {
    ada: Node,
    // Runs for as long as the pictures are taken, so that its owner is seen online.
    _bob: Node,
    screens: Vec<Screen>,
}

fn tell() -> Story {
    let ada = Node::new("Ada Lovelace", &["--mean-delay-ms", "50"]);
    let bob = Node::new("Bob Kahn", &["--mean-delay-ms", "50"]);
    let cyd = Node::new("Cyd Okafor", &["--mean-delay-ms", "50"]);
    bob.meet(&ada, "Bob Kahn");
    cyd.meet(&ada, "Cyd Okafor");
    let say = |from: &Node, to: &str, text: &str| from.fog(&["chat", "send", to, text, "--wait"]);
    say(&cyd, "Ada Lovelace", "Did the build finish over night?");
    ada.fog(&["chat", "read", "Cyd Okafor"]);
    say(&ada, "Cyd Okafor", "Yes, all green. I will send you the log.");
    say(&cyd, "Ada Lovelace", "Thanks! No hurry.");
    say(&bob, "Ada Lovelace", "Morning! Is your desktop idle today?");
    say(&ada, "Bob Kahn", "Until noon, yes. What do you have?");
    say(&bob, "Ada Lovelace", "A word count over the archive, about a megabyte. It should not take long.");
    say(&ada, "Bob Kahn", "Send it over. I have set it to work now.");

    // A job of Bob's that ran here, and one of Ada's that ran there.
    for (worker, sender, name, to) in
        [(&ada, &bob, "Count the archive", "Ada Lovelace"), (&bob, &ada, "Letters, by word", "Bob Kahn")]
    {
        worker.fog(&["harvest", "now"]);
        let text = sender.dir.join("text");
        wordcount::write_text(&text, 1_100_000);
        let (module, text) = (wordcount::module(), text.to_str().unwrap().to_owned());
        let module = module.to_str().unwrap();
        let sent =
            sender.fog(&["job", "submit", "--to", to, "--name", name, "--wasm", module, "--input", &text]);
        assert_eq!(sender.fog(&["job", "wait", &id(&sent)])["state"], "completed");
    }
    let job = id(&ada
        .fog(&["job", "status"])
        .as_array()
        .unwrap()
        .iter()
        .find(|j| j["mine"] == true)
        .unwrap()
        .clone());

    let jobs = own_jobs(&ada);
    say(&bob, "Ada Lovelace", "Done already, and the numbers match. You have been paid.");
    ada.fog(&["chat", "read", "Bob Kahn"]);
    let message = say(&ada, "Bob Kahn", "Lovely. Same time tomorrow? There is a vote open, too.");
    bob.fog(&["chat", "read", "Ada Lovelace"]);
    ada.wait_status("Bob Kahn", "read");

    let body = "Devices are quiet between ten and seven, and so should ours be: no jobs in these hours unless \
                their owner said \"work now\".\n\nWho needs results over night can still ask a contact directly.";
    let proposal = bob.fog(&["dao", "propose", "Quiet nights", "--body", body]);
    let proposal = id(&proposal);
    for (node, choice) in [(&ada, "yes"), (&bob, "yes"), (&cyd, "no")] {
        eventually("the proposal", || node.try_fog(&["dao", "vote", &proposal, choice]).ok());
    }
    let question = ada.fog(&[
        "dao",
        "propose",
        "Longer votes",
        "--body",
        "A day instead of a minute.",
        "--kind",
        "parameter",
    ]);
    eventually("the other proposal", || bob.try_fog(&["dao", "vote", &id(&question), "no"]).ok());
    eventually("all votes", || {
        (ada.fog(&["dao", "list", &proposal])["votes"].as_array()?.len() == 3).then_some(())
    });
    let peer = id(ada.contacts().iter().find(|c| c["name"] == "Bob Kahn").unwrap());

    ada.fog(&["chat", "privacy", "Bob Kahn", "confidential"]);
    let thread = format!("chat/{peer}");
    let screens = vec![
        screen("proposal", format!("governance/{proposal}"), "proposal-text"),
        screen("governance", "governance", "proposal"),
        screen("overview", "", "node-facts"),
        screen("chat", &thread, "message"),
        Screen { press: Some("about-contact"), ..screen("contact", &thread, "message") },
        screen("people", "chat", "contact"),
        screen("circuits", "circuits", "recent-message"),
        screen("path", format!("circuits/{}", id(&message)), "packet-ack"),
        screen("compute", "compute", "job"),
        screen("new-job", "compute/new", "job-submit"),
        screen("job", format!("compute/{job}"), "job-output"),
        Screen { look: Some("jobs-mine"), ..screen("jobs", "compute", "job") },
        screen("job-pictures", format!("compute/{}", jobs.pictures), "job-file-preview"),
        Screen {
            look: Some("job-runs"),
            ..screen("job-files", format!("compute/{}", jobs.pictures), "job-file-preview")
        },
        screen("job-array", format!("compute/{}", jobs.array), "job-array-summary"),
        screen("job-failed", format!("compute/{}", jobs.failed), "job-log"),
        screen("job-running", format!("compute/{}", jobs.running), "job-progress"),
        screen("earnings", "earnings", "journal-entry"),
        screen("settings", "settings", "fingerprint"),
        // Last, when cover traffic has run for a while.
        Screen { look: Some("cover"), ..screen("cover", "circuits", "traffic-cover") },
    ];
    Story { ada, _bob: bob, screens }
}

/// Ids of jobs that Ada's device runs for herself.
struct OwnJobs {
    pictures: String,
    array: String,
    failed: String,
    running: String,
}

fn own_jobs(ada: &Node) -> OwnJobs {
    let examples = fog_e2e::repository().join("examples");
    let send = |name: &str, example: &str, options: &[&str]| {
        let module = examples.join(example).join(format!("{example}.wasm"));
        let mut args =
            vec!["job", "submit", "--to", "me", "--name", name, "--wasm", module.to_str().unwrap()];
        args.extend(options);
        id(&ada.fog(&args))
    };
    let pictures = examples.join("thumbnails/pictures");
    let pictures = send("Thumbnails", "thumbnails", &["--in", pictures.to_str().unwrap()]);
    let film = ["--array", "0-23", "--", "--frames", "24", "--samples", "8"];
    let array = send("A short film", "render-frames", &film);
    let failed = send("Price of a swap", "monte-carlo", &["--", "--kind", "swap"]);
    for job in [&pictures, &array] {
        assert_eq!(ada.fog(&["job", "wait", job])["state"], "completed");
    }
    assert_eq!(ada.run(&["job", "wait", &failed]).status.code(), Some(1));
    let running = send("An Asian option", "monte-carlo", &["--", "--kind", "asian", "--paths", "2000000000"]);
    eventually("a long job to run", || {
        (!ada.fog(&["job", "status", &running])["progress"].is_null()).then_some(())
    });
    OwnJobs { pictures, array, failed, running }
}

#[test]
#[ignore = "draws pictures: cargo xtask screenshots"]
fn every_screen_light_and_dark_wide_and_narrow() {
    let folder = folder();
    let browser = Browser::start();

    let temporary = tempfile::tempdir().unwrap();
    let mut newcomer = Node::at(&temporary.path().join("data"), &[]);
    newcomer.spawn();
    browser.visit(&newcomer);
    browser.wait("first-run");
    take(&browser, &folder, &access(&newcomer).0, &screen("first-run", "", "first-run"));
    // The page is left before its node ends, which it would complain about.
    browser.goto("about:blank");
    drop(newcomer);

    let story = tell();
    browser.visit(&story.ada);
    browser.wait("overview");
    browser.click("nav-circuits");
    browser.click("cover-standard");
    browser.wait_text("cover-now", "Standard");
    for screen in &story.screens {
        take(&browser, &folder, &access(&story.ada).0, screen);
    }
    browser.check_console(&[]);
}

#[test]
#[ignore = "draws pictures: cargo xtask screenshots"]
fn the_circuits_of_a_network_of_strangers() {
    let folder = folder();
    let new = ["--authorities", "3", "--public", "--epoch-s", "60", "--voting-s", "10", "--seats", "2"];
    let net = Chaos::made(&new, &[]);
    let consensus = net.consensus.to_str().unwrap();
    let node = Node::new("Ada Lovelace", &["--mean-delay-ms", "50", "--consensus", consensus]);
    let browser = Browser::start();
    browser.visit(&node);
    browser.wait("overview");
    let url = access(&node).0;
    let circuits = |name| screen(name, "circuits", "relay-pinned");
    take(&browser, &folder, &url, &circuits("strangers"));
    take(&browser, &folder, &url, &Screen { look: Some("mixnet"), ..circuits("relays") });
    take(&browser, &folder, &url, &Screen { look: Some("mixnode"), ..circuits("mixnode-form") });
    browser.fill("mixnode-listen", "127.0.0.1:0");
    browser.fill("mixnode-operator", "Ada Lovelace");
    browser.click("mixnode-start");
    browser.wait_text("mixnode-state", "In the directory");
    take(&browser, &folder, &url, &Screen { look: Some("mixnode"), ..circuits("mixnode") });
    browser.check_console(&[]);
}
