//! The job screens in headless Chromium against a real node that runs the example jobs on itself. Needs the page
//! (`cargo xtask ui`), Chromium and its driver.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::browser::Browser;
use fog_e2e::{Node, eventually, repository};
use serde_json::json;
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name).join(format!("{name}.wasm"))
}

/// The page of a fresh node, on its compute screen.
fn start() -> (Node, Browser) {
    let node = Node::new("Ada", &["--mean-delay-ms", "0"]);
    let browser = Browser::start();
    browser.visit(&node);
    browser.click("nav-compute");
    browser.wait("job-drop");
    (node, browser)
}

/// Lets files or folders of this machine fall onto an element, as a person does with the mouse.
fn drop_onto(browser: &Browser, mark: &str, paths: &[&Path]) {
    let place = browser.value(&format!(
        "(() => {{ const e = document.querySelector('[data-testid={mark}]'); e.scrollIntoView({{block: 'center'}}); \
         const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
    ));
    let data = json!({"items": [], "files": paths, "dragOperationsMask": 1});
    for kind in ["dragEnter", "dragOver", "drop"] {
        let event = json!({"type": kind, "x": place[0], "y": place[1], "data": data});
        browser.cdp("Input.dispatchDragEvent", &event);
    }
}

/// Fills in the rest and sends it.
fn send(browser: &Browser, name: &str, arguments: &str) {
    browser.fill("job-name", name);
    browser.choose("job-to", "This device, at once and without pay");
    if !arguments.is_empty() {
        browser.fill("job-args", arguments);
    }
    browser.click("job-submit");
    browser.wait("job-detail-state");
}

#[test]
fn a_dropped_folder_becomes_a_job_whose_pictures_show() {
    let (node, browser) = start();
    // Nothing is there yet, and the page says so.
    browser.wait_text("jobs-mine", "You have sent no job yet");
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("pictures job");
    std::fs::create_dir_all(job.join("deep")).unwrap();
    let pictures = repository().join("examples/thumbnails/pictures");
    std::fs::copy(example("thumbnails"), job.join("make small.wasm")).unwrap();
    std::fs::copy(pictures.join("film.jpg"), job.join("film.jpg")).unwrap();
    std::fs::copy(pictures.join("deep/page.png"), job.join("deep/page.png")).unwrap();
    drop_onto(&browser, "job-drop", &[&job]);

    // The module became the program, the rest inputs without the folder's name.
    browser.wait_property("job-name", "value", &"make small".into());
    browser.wait_count("job-input-file", 2);
    let inputs = browser.text("job-inputs");
    assert!(inputs.contains("/in/film.jpg") && inputs.contains("/in/deep/page.png"), "{inputs}");
    send(&browser, "Small pictures", "--size\n48");
    browser.wait_text("job-detail-state", "Completed");
    browser.wait_text("job-peer", "this device");
    browser.wait_count("job-run", 1);
    browser.wait_text("job-output", "2 of 2 pictures");
    browser.wait_text("job-log", "film.jpg: 320 x 180");

    // Both files are listed, and the first picture shows with its real size.
    browser.wait_count("job-file", 2);
    let size = || {
        browser.value(
            "(() => { const e = document.querySelector('img[data-testid=job-file-preview]'); \
             return e && e.complete ? [e.naturalWidth, e.naturalHeight] : null; })()",
        )
    };
    eventually("the first picture", || (size() == json!([48, 30])).then_some(()));
    browser.value("document.querySelectorAll('[data-testid=job-file]')[1].click()");
    eventually("the second picture", || (size() == json!([48, 27])).then_some(()));

    // The list shows it, and the node knows it.
    browser.click("nav-compute");
    browser.wait_text("job", "Small pictures");
    browser.wait_text("job-state", "Completed");
    assert_eq!(node.fog(&["job", "list"])[0]["name"], "Small pictures");
    browser.check_console(&[]);
}

#[test]
fn an_array_shows_its_elements_and_each_of_them_its_own_output() {
    let (_node, browser) = start();
    browser.click("new-job");
    browser.choose_file("job-module", &example("monte-carlo"));
    browser.wait_property("job-name", "value", &"monte-carlo".into());
    browser.fill("job-array", "5-2");
    browser.choose("job-to", "This device, at once and without pay");
    browser.click("job-submit");
    browser.wait_text("job-error", "first index");
    browser.fill("job-array", "2-5");
    send(&browser, "Prices", "--paths\n20000");
    browser.wait_text("job-array-summary", "4 completed");
    browser.wait_text("job-detail-state", "Completed");
    let elements = || {
        browser.value("[...document.querySelectorAll('[data-testid=job-elements] a')].map(e => e.innerText.split('\\n')[0])")
    };
    eventually("all elements in order", || {
        (elements() == json!(["Prices [2]", "Prices [3]", "Prices [4]", "Prices [5]"])).then_some(())
    });
    browser.value("document.querySelectorAll('[data-testid=job-elements] a')[1].click()");
    browser.wait_text("job-output", "standard_error");
    let title = browser.value("document.querySelector('h1').innerText");
    assert_eq!(title, "Prices [3]");
    // Opened anew by its address, which no list leads to.
    browser.reload();
    browser.wait_text("job-output", "standard_error");
    browser.check_console(&[]);
}

#[test]
fn a_job_is_watched_stopped_and_tried_again() {
    let (node, browser) = start();
    // It goes on for long, and says how far it is.
    drop_onto(&browser, "job-drop", &[&example("monte-carlo")]);
    browser.wait_property("job-name", "value", &"monte-carlo".into());
    send(&browser, "Long", "--paths\n100000000000");
    browser.wait_text("job-detail-state", "Running");
    browser.wait("job-log-empty");
    browser.wait("job-progress");
    browser.click("job-cancel");
    browser.click("job-cancel-confirm");
    browser.wait_text("job-detail-state", "Cancelled");
    assert_eq!(node.fog(&["job", "list"])[0]["state"], "cancelled");

    // It fails, and says why; again, it fails again, by a run of its own.
    browser.click("nav-compute");
    browser.click("new-job");
    browser.choose_file("job-module", &example("monte-carlo"));
    send(&browser, "Wrong", "--kind\nswap");
    browser.wait_text("job-detail-state", "Failed");
    browser.wait_text("job-log", "there is no kind swap");
    browser.wait_text("job-exit-code", "1");
    let runs = browser.count("job-run");
    browser.click("job-retry");
    eventually("another run", || (browser.count("job-run") > runs).then_some(()));
    browser.wait_text("job-detail-state", "Failed");

    // No such job.
    let url = browser.address();
    let (base, _) = url.split_once("#/").unwrap();
    browser.goto(&format!("{base}#/compute/{}", "0".repeat(32)));
    eventually("the page to say so", || browser.page_text().contains("No such job").then_some(()));
    browser.check_console(&["status of 404"]);
}
