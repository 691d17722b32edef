//! The circuits screen in headless Chromium: cover traffic is chosen and drawn, the mixnode's form, and what a network
//! with authorities shows. Needs the page (`cargo xtask ui`), Chromium and its driver.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::browser::Browser;
use fog_e2e::{Chaos, Node, eventually};

/// The step of the promise that is marked as the present one.
fn promise(browser: &Browser) -> String {
    let step =
        browser.value("document.querySelector('[data-testid=privacy] [aria-current=step]')?.innerText");
    step.as_str().unwrap_or_default().lines().next().unwrap_or_default().into()
}

/// Waits until bars of a kind stand in the chart, with a height that can be seen.
fn wait_bars(browser: &Browser, mark: &str) {
    let height =
        format!("document.querySelector('[data-testid={mark}]')?.getBoundingClientRect().height > 1");
    eventually(mark, || (browser.value(&height) == true).then_some(()));
}

#[test]
fn cover_traffic_is_chosen_stays_and_is_drawn() {
    let ada = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    let browser = Browser::start();
    browser.visit(&bob);
    browser.click("nav-circuits");
    browser.wait_text("network-state", "Online");
    // A test network promises little, whatever the cover, and the network's choice there is none.
    browser.wait_text("privacy-promise", "sealed");
    browser.wait_text("privacy-limits", "One person runs all relays");
    assert_eq!(promise(&browser), "Sealed");
    browser.wait_property("cover-auto", "checked", &true.into());
    browser.wait_text("cover-now", "Off");

    browser.click("cover-strong");
    browser.wait_text("cover-now", "Strong");
    wait_bars(&browser, "traffic-cover");
    bob.fog(&["chat", "send", "Ada", "Among many others", "--wait"]);
    wait_bars(&browser, "traffic-real");
    eventually("loops to come back", || (browser.text("loops-back").trim() != "0").then_some(()));
    let words =
        browser.value("document.querySelector('[data-testid=traffic-chart]').getAttribute('aria-label')");
    let words = words.as_str().unwrap();
    assert!(words.contains("cover packets sent") && !words.contains(" 0 cover"), "{words}");

    // The choice is the node's, not the page's.
    browser.reload();
    browser.wait_property("cover-strong", "checked", &true.into());
    browser.wait_property("cover-auto", "checked", &false.into());
    browser.wait_text("cover-now", "Strong");
    wait_bars(&browser, "traffic-cover");
    browser.click("cover-auto");
    browser.wait_text("cover-now", "Off");
    assert_eq!(promise(&browser), "Sealed");
    browser.check_console(&[]);
}

#[test]
fn the_form_for_a_mixnode_is_refused_in_the_nodes_words_and_keeps_what_was_typed() {
    let ada = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    let browser = Browser::start();
    // The owner of the test network runs its relays anyway.
    browser.visit(&ada);
    browser.click("nav-circuits");
    browser.wait_text("mixnode-state", "Own network only");
    assert_eq!(browser.count("mixnode-form"), 0);

    browser.visit(&bob);
    browser.wait("overview");
    browser.click("nav-circuits");
    browser.wait_text("mixnode-state", "Off");
    browser.fill("mixnode-listen", "the cellar");
    browser.fill("mixnode-operator", "Bob's cellar");
    browser.click("mixnode-layer-3");
    browser.click("mixnode-start");
    browser.wait_text("mixnode-listen-error", "\"the cellar\" is no address with a port");
    browser.wait_attribute("mixnode-listen", "aria-invalid", &["true"]);
    browser.wait_property("mixnode-listen", "value", &"the cellar".into());
    browser.wait_property("mixnode-operator", "value", &"Bob's cellar".into());
    browser.wait_property("mixnode-layer-3", "checked", &true.into());

    // The next refusal stands beside the field that it is about.
    browser.fill("mixnode-listen", "0.0.0.0:0");
    browser.click("mixnode-start");
    browser.wait_text("mixnode-public-error", "Others cannot reach 0.0.0.0");
    browser.wait_gone("mixnode-listen-error");
    browser.wait_text("mixnode-state", "Off");
    browser.check_console(&["status of 400"]);
}

#[test]
fn a_network_with_authorities_shows_who_runs_it_and_takes_a_mixnode() {
    let new = ["--authorities", "3", "--public", "--epoch-s", "30", "--voting-s", "10"];
    let net = Chaos::made(&new, &[]);
    let ada = Node::new("Ada", &["--mean-delay-ms", "5", "--consensus", net.consensus.to_str().unwrap()]);
    let browser = Browser::start();
    browser.visit(&ada);
    browser.click("nav-circuits");
    browser.wait_text("network-state", "Online");
    browser.wait_text("cover-auto-hint", "It chose: Standard.");
    browser.wait_text("cover-now", "Standard");
    eventually("the promise of a covered network", || (promise(&browser) == "Covered").then_some(()));
    browser.wait_text("signatures", "of 3 authorities");
    browser.wait_text("keys-change", "in ");
    browser.wait_text("directory-ends", "in ");
    browser.wait_text("relay-name", "operator-");
    browser.wait_text("relay-pinned", "your entry");
    browser.wait_text("relay-home", "home");
    browser.wait_text("relay-measured", "reputation");
    browser.wait_count("relay", 9);

    browser.fill("mixnode-listen", "127.0.0.1:0");
    browser.fill("mixnode-operator", "Ada");
    browser.click("mixnode-layer-2");
    browser.click("mixnode-start");
    browser.wait_gone("mixnode-form");
    browser.wait_text("mixnode-state", "In the directory");
    browser.wait_text("mixnode-address", "127.0.0.1:");
    browser.wait_count("relay", 10);
    browser.click("mixnode-stop");
    browser.wait_text("mixnode-state", "Off");
    browser.wait_property("mixnode-operator", "value", &"Ada".into());
    browser.check_console(&[]);
}
