//! The page in headless Chromium, against real nodes: what it shows, that it follows by itself, and that it says
//! what goes wrong. Needs the page (`cargo xtask ui`), Chromium and its driver.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::browser::{Browser, NO_ANSWER, access};
use fog_e2e::webdriver::key;
use fog_e2e::{Node, eventually, wordcount};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node that was never started before and has no name yet.
fn newcomer() -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::at(&folder.path().join("data"), &["--mean-delay-ms", "20"]);
    node.spawn();
    access(&node);
    (node, folder)
}

/// Marks the page, to tell later that it is still the same one and was not loaded again.
fn mark_page(browser: &Browser) {
    browser.value("window.notReloaded = true");
}

fn check_page_is_the_same(browser: &Browser) {
    assert_eq!(browser.value("window.notReloaded === true"), true, "the page was loaded again");
}

/// What the keyboard's element is, and whether the page shows that it is.
fn focus(browser: &Browser) -> (String, bool) {
    let seen = browser.value(
        "(() => { const e = document.activeElement, s = getComputedStyle(e); \
         const ring = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none'; \
         return [e.dataset.testid || e.tagName, e.matches(':focus-visible') && ring]; })()",
    );
    (seen[0].as_str().unwrap_or_default().into(), seen[1] == true)
}

/// Shows the newest message's statuses in the order in which the page showed them.
fn watch_statuses(browser: &Browser) {
    browser.value(
        "(() => { const seen = window.statuses = []; \
         const look = () => { const all = document.querySelectorAll('[data-testid=message-status]'); \
           const now = all.length ? all[all.length - 1].dataset.status : null; \
           if (now && seen.at(-1) !== now) seen.push(now); }; \
         new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true}); \
         })()",
    );
}

/// The smallest units of a text such as "+12.5 FOG".
fn units(text: &str) -> u128 {
    let number: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
    format!("{whole}{part:0<18}").parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn a_newcomer_chooses_a_name_meets_somebody_and_they_write_to_each_other() {
    let ada = Node::new("Ada", &["--mean-delay-ms", "20"]);
    let (me, _folder) = newcomer();
    let browser = Browser::start();
    browser.visit(&me);

    // The first run, by the keyboard alone.
    browser.wait("first-run");
    let (url, token) = access(&me);
    assert_eq!(browser.address().trim_end_matches(['/', '#']), url, "the token is still in the address");
    assert!(!browser.value("document.documentElement.outerHTML").as_str().unwrap().contains(&token));
    eventually("the name's field to have the keyboard", || {
        (focus(&browser).0 == "first-run-name").then_some(())
    });
    browser.keys("Cleo".chars());
    assert!(focus(&browser).1, "the field shows that it has the keyboard");
    browser.keys([key::TAB]);
    assert_eq!(
        focus(&browser),
        ("first-run-submit".into(), true),
        "the button shows that it has the keyboard"
    );
    browser.keys([key::ENTER]);
    browser.wait("overview");
    mark_page(&browser);
    assert_eq!(me.fog(&["status"])["phase"].as_str().unwrap_or("ready"), "ready");

    // Cards: a bad one is refused in words, a good one opens the conversation.
    browser.click("nav-chat");
    browser.click("add-contact-first");
    browser.paste("card-text", "hello");
    browser.click("card-submit");
    browser.wait_text("card-error", "not an address card");
    browser.fill("card-text", "");
    browser.paste("card-text", &ada.card());
    browser.click("card-submit");
    browser.wait_text("thread-name", "Ada");
    eventually("Ada to know", || ada.contacts().iter().any(|c| c["name"] == "Cleo").then_some(()));
    ada.fog(&["chat", "accept", "Cleo"]);

    // A message out: each step shows as it happens.
    watch_statuses(&browser);
    browser.type_into("composer", "Hello over the mix");
    browser.click("send");
    browser.wait_attribute("message-status", "data-status", &["delivered"]);
    assert_eq!(ada.texts("Cleo"), ["Hello over the mix"]);
    ada.fog(&["chat", "read", "Cleo"]);
    browser.wait_attribute("message-status", "data-status", &["read"]);
    assert_eq!(browser.value("window.statuses"), json!(["pending", "sent", "delivered", "read"]));

    // A message in, into the open conversation: it shows, and counts as read.
    ada.fog(&["chat", "send", "Cleo", "Hello back"]);
    browser.wait_count("message", 2);
    browser.wait_text("message", "Hello back");
    ada.wait_status("Cleo", "read");
    // And while the page shows something else: it counts as unread until it is seen.
    browser.click("nav-overview");
    ada.fog(&["chat", "send", "Cleo", "Are you there?"]);
    browser.wait_text("nav-chat", "1");
    browser.wait_text("tile-chat", "1");
    assert!(browser.value("document.title").as_str().unwrap().starts_with("(1)"));
    ada.wait_status("Cleo", "delivered");
    browser.click("nav-chat");
    browser.click("contact");
    browser.wait_text("message", "Are you there?");
    ada.wait_status("Cleo", "read");
    eventually("nothing to be unread", || (!browser.text("nav-chat").contains('1')).then_some(()));

    // The path of the first message is the one that the node tells.
    let sent = &me.messages("Ada")[0];
    let paths = me.fog(&["chat", "path", sent["id"].as_str().unwrap()]);
    browser.click("nav-circuits");
    browser.wait("circuits");
    browser.wait_text("network-state", "Online");
    browser.wait("test-network");
    browser.click("recent-message");
    browser.wait_text("packet-ack", "Acknowledged");
    browser.wait_text("test-network", "no anonymity");
    let count = paths.as_array().unwrap().len();
    assert_eq!((browser.count("packet-path"), browser.count("hop")), (count, 3 * count));
    let shown = browser.page_text();
    for hop in paths[0]["hops"].as_array().unwrap() {
        assert!(shown.contains(hop["name"].as_str().unwrap()), "{hop} is not in {shown}");
    }

    // For this contact, five relays from now on.
    browser.click("nav-chat");
    browser.click("contact");
    browser.click("about-contact");
    browser.click("level-confidential");
    browser.wait("five-relays");
    assert_eq!(me.contacts()[0]["privacy"], "confidential");
    browser.keys([key::ESCAPE]);
    browser.type_into("composer", "Between us");
    browser.click("send");
    me.wait_status("Ada", "delivered");
    let messages = me.messages("Ada");
    let paths = me.fog(&["chat", "path", messages.last().unwrap()["id"].as_str().unwrap()]);
    assert_eq!(paths[0]["hops"].as_array().unwrap().len(), 5);
    check_page_is_the_same(&browser);
    browser.check_console(&["status of 400"]);

    // Without the token, the page says what it needs, and nothing else.
    let stranger = Browser::start();
    stranger.goto(&url);
    stranger.wait("needs-address");
    assert!(!stranger.page_text().contains("Cleo"));
    stranger.check_console(&["status of 401", "WebSocket"]);
}

#[test]
fn a_job_is_sent_by_form_runs_where_work_is_allowed_and_is_paid() {
    let worker = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let sender = Node::new("Bob", &["--mean-delay-ms", "5"]);
    sender.meet(&worker, "Bob");

    // The worker's page: the switch changes the state, and the reason says so.
    let works = Browser::start();
    works.visit(&worker);
    works.click("nav-compute");
    let reason = |word: &str| {
        eventually(&format!("the reason {word:?}"), || {
            works.text("harvest-reason").contains(word).then_some(())
        });
    };
    works.wait("harvest-state");
    works.click("work-now");
    works.wait_text("harvest-state", "Ready for work");
    reason("Work now:");
    assert_eq!(worker.fog(&["harvest", "status"])["override_on"], true);
    works.click("work-now");
    eventually("the switch to be off", || {
        (worker.fog(&["harvest", "status"])["override_on"] == false).then_some(())
    });
    let without = worker.fog(&["harvest", "status"])["reason"].as_str().unwrap().to_owned();
    eventually("the reason without the switch", || {
        (!works.text("harvest-reason").contains("Work now:")).then_some(())
    });
    assert!(!without.contains("Work now:"), "{without}");
    works.click("work-now");
    works.wait_text("harvest-state", "Ready for work");

    // The sender's page: the form, with files.
    let text = sender.dir.join("a text.txt");
    wordcount::write_text(&text, 400_000);
    let sends = Browser::start();
    sends.visit(&sender);
    sends.click("nav-compute");
    sends.click("new-job");
    sends.choose_file("job-module", &wordcount::module());
    sends.choose_file("job-input", &text);
    sends.wait_property("job-name", "value", &"word-count".into());
    sends.fill("job-name", "Count my text");
    sends.choose("job-to", "Ada");
    sends.fill("job-seconds", "60");
    sends.fill("job-price-limit", "a lot");
    sends.click("job-submit");
    sends.wait_text("job-error", "price limit");
    sends.fill("job-price-limit", "50");
    sends.click("job-submit");
    sends.wait("job-detail");
    sends.wait_text("job-detail-state", "Completed");
    assert_eq!(wordcount::numbers(&sends.text("job-output")), wordcount::wc(&text));
    sends.wait_text("job-peer", "Ada");

    // Both pages show the pay that both ledgers hold.
    let amount = |wallet: &Value, name: &str| wallet[name].as_str().unwrap().parse::<u128>().unwrap();
    let job = &sender.fog(&["job", "status"])[0];
    let price = amount(job, "price");
    assert_eq!(job["name"], "Count my text");
    works.wait_text("job-state", "Completed");
    works.wait_text("job", "Count my text");
    let job_id = job["id"].as_str().unwrap();
    for (page, node, name) in [(&works, &worker, "earned"), (&sends, &sender, "spent")] {
        eventually("the ledger", || (amount(&node.fog(&["wallet"]), name) == price).then_some(()));
        page.click("nav-earnings");
        let wallet = node.fog(&["wallet"]);
        page.wait_count("journal-entry", wallet["entries"].as_array().unwrap().len());
        // What the page shows of this job adds up to its price; the sender's escrow came back but for that.
        let shown = page.value(&format!(
            "[...document.querySelectorAll('[data-testid=journal-entry]')] \
             .filter(e => e.querySelector('a[href$=\"{job_id}\"]')).map(e => e.querySelector('.amount').title)"
        ));
        let shown: Vec<&str> = shown.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let sum = |sign: char| shown.iter().filter(|t| t.starts_with(sign)).map(|t| units(t)).sum::<u128>();
        assert_eq!(sum('+').abs_diff(sum('−')), price, "{name}: {shown:?}");
        page.wait_text("escrow", "0 FOG");
        assert_ne!(page.text(name), "0 FOG");
    }
    works.check_console(&[]);
    sends.check_console(&[]);
}

#[test]
fn a_proposal_is_opened_voted_on_and_counted_as_votes_come_in() {
    let ada = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    eventually("Bob's voting power", || {
        let probe = ada.fog(&["dao", "propose", "A question before"]);
        std::thread::sleep(std::time::Duration::from_millis(500));
        (probe["tally"]["total"] == "20000000000000000000000").then_some(())
    });
    let browser = Browser::start();
    browser.visit(&ada);
    browser.click("nav-governance");
    mark_page(&browser);
    browser.click("new-proposal");
    browser.fill("proposal-title", "Quiet nights");
    browser.fill("proposal-body", "No jobs from ten to seven.");
    browser.click("proposal-submit");
    browser.wait_text("proposal-text", "No jobs from ten to seven.");
    browser.wait_text("proposal-detail-state", "Voting");
    let id = browser.address().rsplit('/').next().unwrap().to_owned();

    browser.click("vote-yes");
    browser.wait_text("my-vote", "You voted for");
    browser.wait_attribute("vote-yes", "aria-pressed", &["true"]);
    browser.wait_text("tally-yes", "10,000 FOG");
    eventually("the proposal at Bob's", || bob.try_fog(&["dao", "list", &id]).ok());
    bob.fog(&["dao", "vote", &id, "no"]);
    browser.wait_text("tally-no", "10,000 FOG");
    browser.wait_count("vote", 2);
    browser.wait_text("quorum", "reached");
    // A second vote of mine replaces the first, here and there.
    browser.click("vote-no");
    browser.wait_text("my-vote", "You voted against");
    browser.wait_text("tally-no", "20,000 FOG");
    browser.wait_text("tally-yes", "0 FOG");
    assert_eq!(browser.count("vote"), 2);
    eventually("the same count at Bob's", || {
        let tally = &bob.fog(&["dao", "list", &id])["tally"];
        (tally["no"] == "20000000000000000000000" && tally["yes"] == "0").then_some(())
    });
    // The rules end it, and the page says so by itself.
    browser.wait_text("proposal-detail-state", "Rejected");
    browser.wait_text("my-vote", "Voting is over. You voted against.");
    browser.wait_gone("vote-yes");
    check_page_is_the_same(&browser);
    browser.check_console(&[]);
}

#[test]
fn settings_last_and_the_page_survives_the_death_of_its_node() {
    let mut ada = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    bob.fog(&["chat", "send", "Ada", "Before", "--wait"]);
    let browser = Browser::start();
    browser.visit(&ada);

    // A new name, and colours.
    browser.click("nav-settings");
    browser.wait_property("settings-name", "value", &"Ada".into());
    browser.fill("settings-name", "Ada Lovelace");
    browser.click("settings-name-save");
    browser.wait_gone("settings-name-save");
    let background = || browser.value("getComputedStyle(document.body).backgroundColor");
    browser.click_label("theme-light");
    eventually("light colours", || {
        (browser.value("document.documentElement.dataset.theme") == "light").then_some(())
    });
    let light = background();
    browser.click_label("theme-dark");
    eventually("dark colours", || (background() != light).then_some(()));
    browser.reload();
    browser.wait_property("settings-name", "value", &"Ada Lovelace".into());
    assert_eq!(browser.value("document.documentElement.dataset.theme"), "dark");
    browser.wait_property("theme-dark", "checked", &true.into());
    assert_ne!(background(), light);
    browser.check_console(&[]);

    // The node dies while somebody writes.
    browser.click("nav-chat");
    browser.click("contact");
    browser.wait_text("message", "Before");
    browser.type_into("composer", "Half a sentence");
    mark_page(&browser);
    ada.kill();
    browser.wait("reconnecting");
    browser.wait_text("message", "Before");
    ada.start();
    browser.wait_gone("reconnecting");
    browser.wait_property("composer", "value", &"Half a sentence".into());
    browser.type_into("composer", " is whole now");
    browser.click("send");
    browser.wait_attribute("message-status", "data-status", &["delivered", "read"]);
    // The contact has learnt the new name.
    assert_eq!(bob.texts("Ada Lovelace").last().unwrap(), "Half a sentence is whole now");
    bob.fog(&["chat", "send", "Ada Lovelace", "After"]);
    browser.wait_count("message", 3);
    browser.wait_text("message", "After");
    bob.wait_status("Ada Lovelace", "read");
    check_page_is_the_same(&browser);
    for (place, mark) in [
        ("nav-overview", "node-facts"),
        ("nav-circuits", "relay"),
        ("nav-compute", "harvest-state"),
        ("nav-earnings", "balance"),
        ("nav-governance", "governance"),
        ("nav-settings", "fingerprint"),
    ] {
        browser.click(place);
        browser.wait(mark);
    }
    browser.wait_property("settings-name", "value", &"Ada Lovelace".into());
    browser.check_console(NO_ANSWER);
}

#[test]
fn the_pages_of_two_nodes_live_side_by_side_in_one_browser() {
    let nodes = [Node::new("Ada", &[]), Node::new("Bob", &[])];
    let browser = Browser::start();
    for node in &nodes {
        browser.visit(node);
        browser.wait("overview");
    }
    // Ada's page again, without the token: the browser is still known to it.
    browser.goto(&access(&nodes[0]).0);
    browser.wait("overview");
    browser.click("nav-settings");
    browser.wait_property("settings-name", "value", &"Ada".into());
    browser.check_console(&[]);
}
