//! The part of W3C WebDriver (<https://www.w3.org/TR/webdriver2/>) that the tests need: JSON over HTTP.
//!
//! A [`Page`] is one session with a driver, whichever browser is behind it. Elements are found by their
//! `data-testid`, which `ui/README.md` lists. What a page shows comes late or is replaced at any time, so each step
//! is tried until it works or patience ends.

use crate::PATIENCE;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;
use ureq::Agent;
use ureq::http::Request;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no letter, as WebDriver writes them.
pub mod key {
    /// Lets go of the modifier keys.
    pub const NONE: char = '\u{e000}';
    /// Backspace.
    pub const BACKSPACE: char = '\u{e003}';
    /// Tab.
    pub const TAB: char = '\u{e004}';
    /// Enter.
    pub const ENTER: char = '\u{e007}';
    /// Control.
    pub const CONTROL: char = '\u{e009}';
    /// Escape.
    pub const ESCAPE: char = '\u{e00c}';
}

/// A page under a driver's control. It stays open until [`Page::close`].
pub struct Page {
    agent: Agent,
    /// The driver's address with the session.
    session: String,
    /// What the driver said of the session.
    pub capabilities: Value,
}

impl Page {
    /// Asks the driver at this address for a session.
    ///
    /// # Errors
    /// The driver's.
    pub fn open(driver: &str, capabilities: &Value) -> Result<Self, String> {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let agent = Agent::new_with_config(config);
        let mut page = Self { agent, session: driver.into(), capabilities: Value::Null };
        let asked = json!({"capabilities": {"alwaysMatch": capabilities}});
        let session = page.ask("POST", "/session", &asked)?;
        page.session += &format!("/session/{}", session["sessionId"].as_str().ok_or("no session")?);
        page.capabilities = session["capabilities"].clone();
        Ok(page)
    }

    /// One WebDriver call; its value or its error.
    ///
    /// # Errors
    /// The driver's.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(body).map_err(|e| e.to_string())?;
        let mut response = self.agent.run(request).map_err(|e| e.to_string())?;
        let ok = response.status().is_success();
        // Pictures are long.
        let limited = response.body_mut().with_config().limit(64 << 20);
        let reply: Value = limited.read_json().map_err(|e| e.to_string())?;
        if ok { Ok(reply["value"].clone()) } else { Err(reply["value"].to_string()) }
    }

    /// Ends the session, and with it the browser.
    ///
    /// # Errors
    /// The driver's.
    pub fn close(&self) -> Result<(), String> {
        self.ask("DELETE", "", &Value::Null).map(|_| ())
    }

    /// Opens an address.
    pub fn goto(&self, url: &str) {
        self.ask("POST", "/url", &json!({"url": url})).unwrap_or_else(|e| panic!("opening {url}: {e}"));
    }

    /// The address that the browser shows.
    pub fn address(&self) -> String {
        let url = self.ask("GET", "/url", &Value::Null).expect("an address");
        url.as_str().unwrap_or_default().into()
    }

    /// Loads the page anew.
    pub fn reload(&self) {
        self.ask("POST", "/refresh", &json!({})).expect("the page loads again");
    }

    /// The elements that a CSS selector finds now.
    pub fn find(&self, selector: &str) -> Vec<String> {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/elements", &by).unwrap_or_default();
        let ids = found.as_array().into_iter().flatten().filter_map(|e| e[ELEMENT].as_str());
        ids.map(String::from).collect()
    }

    /// Tries an action on the last element with this mark until it works: elements may come late, or be replaced.
    pub fn act<T>(&self, what: &str, mark: &str, act: impl Fn(&str) -> Result<T, String>) -> T {
        self.act_on(what, &marked(mark), act)
    }

    /// The same for the last element that a CSS selector finds.
    pub fn act_on<T>(&self, what: &str, selector: &str, act: impl Fn(&str) -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            let last = match self.find(selector).last() {
                Some(element) => match act(element) {
                    Ok(value) => return value,
                    Err(e) => e,
                },
                None => "there is no such element".into(),
            };
            assert!(
                start.elapsed() < PATIENCE,
                "{what} {selector}: {last}\nThe page says:\n{}",
                self.page_text()
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn shown(&self, element: &str) -> Result<String, String> {
        let text = self.ask("GET", &format!("/element/{element}/text"), &Value::Null)?;
        Ok(text.as_str().unwrap_or_default().into())
    }

    /// What the last element with this mark shows.
    pub fn text(&self, mark: &str) -> String {
        self.act("reading", mark, |e| self.shown(e))
    }

    /// Waits until the last element with this mark shows this text.
    pub fn wait_text(&self, mark: &str, text: &str) {
        self.act(&format!("waiting for {text:?} in"), mark, |e| {
            let shown = self.shown(e)?;
            if shown.contains(text) { Ok(()) } else { Err(format!("it shows {shown:?}")) }
        });
    }

    /// Waits until the last element with this mark has an attribute with one of these values.
    pub fn wait_attribute(&self, mark: &str, name: &str, values: &[&str]) {
        self.act(&format!("waiting for {name} {values:?} of"), mark, |e| {
            let value = self.ask("GET", &format!("/element/{e}/attribute/{name}"), &Value::Null)?;
            if values.contains(&value.as_str().unwrap_or_default()) {
                Ok(())
            } else {
                Err(format!("{name} is {value}"))
            }
        });
    }

    /// Waits until the last element with this mark has a property (such as `value`) with this value.
    pub fn wait_property(&self, mark: &str, name: &str, value: &Value) {
        self.act(&format!("waiting for {name} {value} of"), mark, |e| {
            let is = self.ask("GET", &format!("/element/{e}/property/{name}"), &Value::Null)?;
            if is == *value { Ok(()) } else { Err(format!("{name} is {is}")) }
        });
    }

    /// Waits for an element.
    pub fn wait(&self, mark: &str) {
        self.act("waiting for", mark, |_| Ok(()));
    }

    /// Waits until no element with this mark is there.
    pub fn wait_gone(&self, mark: &str) {
        self.wait_count(mark, 0);
    }

    /// Waits until there are this many elements with this mark.
    pub fn wait_count(&self, mark: &str, count: usize) {
        let start = Instant::now();
        while self.count(mark) != count {
            let (is, text) = (self.count(mark), self.page_text());
            assert!(start.elapsed() < PATIENCE, "{is} {mark} instead of {count}\nThe page says:\n{text}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// How many elements with this mark there are now.
    pub fn count(&self, mark: &str) -> usize {
        self.find(&marked(mark)).len()
    }

    fn press(&self, element: &str) -> Result<(), String> {
        let enabled = self.ask("GET", &format!("/element/{element}/enabled"), &Value::Null)?;
        if enabled == false {
            return Err("it is disabled".into());
        }
        self.ask("POST", &format!("/element/{element}/click"), &json!({})).map(|_| ())
    }

    /// Clicks, as soon as the element takes a click.
    pub fn click(&self, mark: &str) {
        self.act("clicking", mark, |e| self.press(e));
    }

    /// Clicks the label around a field that is not itself seen.
    pub fn click_label(&self, mark: &str) {
        self.act_on("clicking", &format!("label:has(> {})", marked(mark)), |e| self.press(e));
    }

    /// Chooses what shows this text in a list to choose from.
    pub fn choose(&self, mark: &str, text: &str) {
        self.act_on(&format!("choosing {text:?} in"), &marked(mark), |_| {
            for option in self.find(&format!("{} option", marked(mark))) {
                if self.shown(&option)?.trim() == text {
                    return self.press(&option);
                }
            }
            Err("there is no such choice".into())
        });
    }

    /// Types into a field, after what is in it.
    pub fn type_into(&self, mark: &str, text: &str) {
        self.act("typing into", mark, |e| {
            self.ask("POST", &format!("/element/{e}/value"), &json!({"text": text})).map(|_| ())
        });
    }

    /// Types into a field instead of what is in it.
    pub fn fill(&self, mark: &str, text: &str) {
        let (all, none, away) = (key::CONTROL, key::NONE, key::BACKSPACE);
        self.type_into(mark, &format!("{all}a{none}{away}{text}"));
        self.wait_property(mark, "value", &text.into());
    }

    /// Gives a file to a field for files.
    pub fn choose_file(&self, mark: &str, file: &Path) {
        assert!(file.exists(), "{} is missing", file.display());
        self.type_into(mark, file.to_str().expect("a path of plain text"));
    }

    /// Presses keys one after the other, wherever the keyboard is.
    pub fn keys(&self, keys: impl IntoIterator<Item = char>) {
        let stroke = |k: char| [json!({"type": "keyDown", "value": k}), json!({"type": "keyUp", "value": k})];
        let strokes: Vec<Value> = keys.into_iter().flat_map(stroke).collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask("POST", "/actions", &actions).expect("the keys are pressed");
    }

    /// Runs a script in the page. It gives its result to the function that is its last argument.
    ///
    /// # Errors
    /// The driver's.
    pub fn script(&self, script: &str) -> Result<Value, String> {
        self.ask("POST", "/execute/async", &json!({"script": script, "args": []}))
    }

    /// The value of a JavaScript expression.
    pub fn value(&self, expression: &str) -> Value {
        let result = self.script(&format!("arguments[0]({expression})"));
        result.unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// All that the page says.
    pub fn page_text(&self) -> String {
        let text = self.script("arguments[0](document.body.innerText)").unwrap_or_default();
        text.as_str().unwrap_or_default().into()
    }
}

/// A program of the system, or what to install.
pub fn system(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|p| p.join(program)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("{program} is missing: install the system's package {package} first"))
}

/// A CSS selector for a mark.
fn marked(mark: &str) -> String {
    format!("[data-testid='{mark}']")
}
