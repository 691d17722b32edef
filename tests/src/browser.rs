//! Headless Chromium with a profile of its own, driven over WebDriver.

use crate::webdriver::{Page, system};
use crate::{Node, Process, eventually, repository};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::ops::Deref;
use std::process::Command;
use tempfile::TempDir;

/// What the console says when a node does not answer, which a page that outlives its node cannot help. Which of the
/// errors it is depends on what the browser's kept connection was doing when the node died.
pub const NO_ANSWER: &[&str] =
    &["ERR_CONNECTION_", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED", "WebSocket"];

/// A browser of its own with one page. Everything it does is in [`Page`].
pub struct Browser {
    page: Page,
    _driver: Process,
    _folder: TempDir,
}

impl Deref for Browser {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.page
    }
}

impl Browser {
    /// Starts Chromium with an empty profile.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut command = Command::new(system("chromedriver", "chromium-driver"));
        let driver = Process::start(command.arg("--port=0"), folder.path(), "chromedriver");
        let port = eventually("chromedriver", || {
            let printed = driver.printed();
            let (_, rest) = printed.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse::<u16>().ok()
        });
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--window-size=1280,800".into(),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": system("chromium", "chromium"), "args": arguments},
        });
        let page = Page::open(&format!("http://127.0.0.1:{port}"), &capabilities)
            .unwrap_or_else(|e| panic!("no browser: {e}\n{}", driver.printed()));
        Self { page, _driver: driver, _folder: folder }
    }

    /// Opens a node's page by the address that the node printed.
    pub fn visit(&self, node: &Node) {
        built_page();
        let (url, token) = access(node);
        self.goto(&format!("{url}/#token={token}"));
    }

    /// A call of Chromium's own protocol.
    pub fn cdp(&self, command: &str, params: &Value) -> Value {
        let asked = json!({"cmd": command, "params": params});
        self.ask("POST", "/goog/cdp/execute", &asked).unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// Puts a text where the keyboard is, at once, as pasting does.
    pub fn paste(&self, mark: &str, text: &str) {
        self.click(mark);
        self.cdp("Input.insertText", &json!({"text": text}));
    }

    /// Makes the page look at a screen of this size; a narrow one is a phone's, with touch.
    pub fn resize(&self, width: u32, height: u32) {
        let phone = width < 640;
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.cdp("Emulation.setDeviceMetricsOverride", &screen);
        self.cdp("Emulation.setTouchEmulationEnabled", &json!({"enabled": phone}));
    }

    /// Makes the system's colours light or dark.
    pub fn colours(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// A picture of what the page shows, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.cdp("Page.captureScreenshot", &json!({"format": "png"}));
        BASE64_STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }

    /// Fails if the console holds errors other than those that contain one of these texts.
    pub fn check_console(&self, allowed: &[&str]) {
        let log = self.ask("POST", "/se/log", &json!({"type": "browser"})).expect("the console");
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        let bad: Vec<String> =
            log.as_array().into_iter().flatten().filter(|e| e["level"] == "SEVERE").map(text).collect();
        let bad: Vec<&String> = bad.iter().filter(|m| !allowed.iter().any(|a| m.contains(a))).collect();
        assert!(bad.is_empty(), "the console says: {bad:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the page ---\n{}", self.page_text());
        }
        let browser = self.capabilities["goog:processID"].as_u64();
        if self.close().is_err()
            && let Some(id) = browser
        {
            _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    }
}

/// Where a node's page is, and the token that opens it.
pub fn access(node: &Node) -> (String, String) {
    let access: Value = eventually("the page's address", || {
        serde_json::from_slice(&std::fs::read(node.dir.join("api.json")).ok()?).ok()
    });
    let part = |name: &str| access[name].as_str().expect("text").to_owned();
    (part("url"), part("token"))
}

/// Fails with advice where the page was not built.
fn built_page() {
    let module = repository().join("ui/dist/fog_ui_bg.wasm");
    assert!(module.exists(), "{} is missing: run `cargo xtask ui` first", module.display());
}
