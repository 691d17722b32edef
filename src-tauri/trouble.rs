//! A start that failed is told to the person: on standard error, and in a small window of its own, because who
//! started the app by its icon sees no terminal. The window's page is made here, has no scripts and no rights.

use crate::core::Core;
use crate::window;
use tauri::http::{Response, header};
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder};

/// The page's own scheme.
pub(crate) const SCHEME: &str = "fog-trouble";
const LABEL: &str = "trouble";
const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; padding: 32px; background: #f5f7f8; color: #161b1f; }
h1 { font-size: 20px; margin: 0 0 12px; }
p { margin: 0 0 12px; overflow-wrap: anywhere; white-space: pre-wrap; user-select: text; }
.hint { color: #5e6972; font-size: 13px; }
@media (prefers-color-scheme: dark) {
  body { background: #0e1214; color: #e7ecef; }
  .hint { color: #909ba3; }
}";

/// Writes the trouble to standard error.
#[allow(clippy::print_stderr, reason = "a person at a terminal reads it, whatever is logged")]
pub(crate) fn print(text: &str) {
    eprintln!("fog-compute: {text}");
}

/// Shows the trouble in place of the main window.
pub(crate) fn show(app: &AppHandle, text: &str) {
    print(text);
    let opened = address().map_err(anyhow::Error::from).and_then(|url| {
        WebviewWindowBuilder::new(app, LABEL, WebviewUrl::CustomProtocol(url))
            .title("Fog Compute cannot start")
            .inner_size(560.0, 320.0)
            .center()
            .on_navigation(|url| url.scheme() == SCHEME || url.host_str() == Some("fog-trouble.localhost"))
            .build()?;
        Ok(())
    });
    // Last, because the program ends with its last window.
    window::close(app);
    if let Err(e) = opened {
        print(&format!("no window for this can be opened: {e}"));
        app.exit(1);
    }
}

fn address() -> Result<tauri::Url, <tauri::Url as std::str::FromStr>::Err> {
    format!("{SCHEME}://localhost/").parse()
}

/// The page that says what is wrong.
pub(crate) fn page(app: &AppHandle) -> Response<Vec<u8>> {
    let why = app.state::<Core>().failure();
    let why = escape(&sentence(why.as_deref().unwrap_or("Nothing is wrong")));
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Fog Compute cannot start</title>\
         <style>{STYLE}</style><main role=\"alert\"><h1>Fog Compute cannot start</h1><p>{why}</p>\
         <p class=\"hint\">Close this window to end.</p></main></html>"
    );
    let mut response = Response::new(html.into_bytes());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(CSP));
    response
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase).into_iter().flatten();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    first.chain(rest).chain(end.chars()).collect()
}

/// Text as HTML.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_sentences() {
        assert_eq!(sentence("the disk is full"), "The disk is full.");
        assert_eq!(sentence("Full."), "Full.");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<b a=\"1\">&'"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
    }
}
