//! The road in a browser: HTTP and a WebSocket, to the node that served the page.

use super::{News, unreadable};
use crate::browser;
use fog_api::*;
use leptos::prelude::{document, window};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RequestInit, Response, WebSocket};

/// What the error says when the node does not know this page.
pub(super) const NO_SESSION: &str = "This page needs the address that `fog node` printed.";

/// The first wait after the stream broke, milliseconds; it doubles up to the longest.
const FIRST_WAIT: i32 = 500;
const LONGEST_WAIT: i32 = 15_000;
const LONGEST_WAIT_SEEN: i32 = 3_000;

fn no_answer() -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "The node does not answer. Is it still running?")
}

async fn fetch(method: &str, path: &str, kind: &str, body: Option<JsValue>) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method(method);
    if let Some(body) = body {
        init.set_body(&body);
    }
    let request = web_sys::Request::new_with_str_and_init(path, &init).map_err(|_| no_answer())?;
    // Setting a header of a request of one's own fails for forbidden names only.
    let _ = request.headers().set("content-type", kind);
    let response = JsFuture::from(window().fetch_with_request(&request)).await.map_err(|_| no_answer())?;
    let response: Response = response.unchecked_into();
    if response.ok() {
        return Ok(response);
    }
    if response.status() == 401 {
        return Err(ApiError::new(ErrorKind::NotReady, NO_SESSION));
    }
    let error = text(&response).await.ok().and_then(|t| serde_json::from_str(&t).ok());
    Err(error.unwrap_or_else(|| {
        ApiError::new(ErrorKind::Internal, format!("The node answered with status {}.", response.status()))
    }))
}

async fn text(response: &Response) -> Result<String, ApiError> {
    let promise = response.text().map_err(|_| no_answer())?;
    let text = JsFuture::from(promise).await.map_err(|_| no_answer())?;
    Ok(text.as_string().unwrap_or_default())
}

pub(super) async fn call(command: &str) -> Result<String, ApiError> {
    text(&fetch("POST", "/api/command", "application/json", Some(command.into())).await?).await
}

pub(super) async fn upload(file: &web_sys::Blob) -> Result<Hash, ApiError> {
    let body = Some(file.into());
    let reply = text(&fetch("POST", "/api/blobs", "application/octet-stream", body).await?).await?;
    serde_json::from_str(&reply).map_err(unreadable)
}

/// Asks first and saves then, so that a refusal is shown on the page and not saved as a file.
pub(super) async fn save(hash: &str, name: &str) -> Result<(), ApiError> {
    let failed = |_| ApiError::new(ErrorKind::Internal, "The browser could not save the file.");
    let response = fetch("GET", &format!("/api/blobs/{hash}"), "application/octet-stream", None).await?;
    let blob = JsFuture::from(response.blob().map_err(failed)?).await.map_err(failed)?;
    let url = web_sys::Url::create_object_url_with_blob(&blob.unchecked_into()).map_err(failed)?;
    let link: web_sys::HtmlAnchorElement = document().create_element("a").map_err(failed)?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    let _ = web_sys::Url::revoke_object_url(&url);
    Ok(())
}

pub(super) async fn read(hash: &str, most: u64) -> Result<web_sys::Blob, ApiError> {
    let response = fetch("GET", &format!("/api/blobs/{hash}"), "application/octet-stream", None).await?;
    let promise = response.blob().map_err(|_| no_answer())?;
    let blob: web_sys::Blob = JsFuture::from(promise).await.map_err(|_| no_answer())?.unchecked_into();
    if blob.size() > most as f64 {
        return Err(ApiError::new(ErrorKind::Refused, "This is too large to be shown. Download it instead."));
    }
    Ok(blob)
}

pub(super) async fn open_session() -> Result<(), ApiError> {
    let location = window().location();
    let fragment = location.hash().unwrap_or_default();
    let Some(token) = fragment.strip_prefix("#token=") else { return Ok(()) };
    let body = serde_json::json!({ "token": token }).to_string();
    let path = location.pathname().unwrap_or_else(|_| "/".into());
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&path));
    }
    fetch("POST", "/api/session", "application/json", Some(body.into())).await.map(|_| ())
}

pub(super) fn listen(news: impl Fn(News) + 'static) {
    connect(Rc::new(news), Rc::new(Cell::new(FIRST_WAIT)));
}

fn connect(news: Rc<dyn Fn(News)>, wait: Rc<Cell<i32>>) {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|p| p == "https:");
    let host = location.host().unwrap_or_default();
    let url = format!("{}://{host}/api/events", if secure { "wss" } else { "ws" });
    let Ok(socket) = WebSocket::new(&url) else {
        again(news, wait);
        return;
    };

    let (tell, patience) = (news.clone(), wait.clone());
    let opened = Closure::<dyn FnMut()>::new(move || {
        patience.set(FIRST_WAIT);
        tell(News::Open);
    });
    socket.set_onopen(Some(opened.as_ref().unchecked_ref()));

    let tell = news.clone();
    let arrived = Closure::<dyn FnMut(web_sys::MessageEvent)>::new(move |frame: web_sys::MessageEvent| {
        let event = frame.data().as_string().and_then(|json| crate::frame::read(&json));
        match event {
            Some(event) => tell(News::Event(Box::new(event))),
            // Something happened that this page cannot read; reading everything anew is safe.
            None => tell(News::Open),
        }
    });
    socket.set_onmessage(Some(arrived.as_ref().unchecked_ref()));

    // The listeners live as long as the socket: the last one holds the others and is freed by being called.
    let own = socket.clone();
    let closed = Closure::once_into_js(move || {
        own.set_onopen(None);
        own.set_onmessage(None);
        drop((opened, arrived));
        news(News::Lost);
        again(news, wait);
    });
    socket.set_onclose(Some(closed.unchecked_ref()));
}

/// Tries again after a while: soon while somebody looks at the page, rarely while nobody does.
fn again(news: Rc<dyn Fn(News)>, wait: Rc<Cell<i32>>) {
    let pause = wait.get();
    wait.set((pause * 2).min(if browser::visible() { LONGEST_WAIT_SEEN } else { LONGEST_WAIT }));
    spawn_local(async move {
        browser::sleep(pause).await;
        connect(news, wait);
    });
}
