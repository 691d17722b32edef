//! The road in the window: Tauri's IPC.

use super::News;
use crate::browser::{call_method, property};
use fog_api::*;
use js_sys::{JSON, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// Tauri's object, where the page runs in the window.
pub(super) fn bridge() -> Option<JsValue> {
    let bridge = property(&js_sys::global(), "__TAURI__");
    bridge.is_object().then_some(bridge)
}

async fn invoke(bridge: &JsValue, name: &str, args: JsValue) -> Result<JsValue, ApiError> {
    let core = property(bridge, "core");
    call_method(&core, "invoke", &[name.into(), args]).await.map_err(|e| refusal(&e))
}

/// A refusal is an [`ApiError`] in JSON; anything else is trouble in the shell itself.
fn refusal(error: &JsValue) -> ApiError {
    let known = serde_json::from_str(&to_json(error)).ok();
    known.unwrap_or_else(|| {
        let text = error.as_string().unwrap_or_else(|| "the window's core did not answer".into());
        ApiError::new(ErrorKind::Internal, text)
    })
}

fn to_json(value: &JsValue) -> String {
    let text = JSON::stringify(value).ok().and_then(|t| t.as_string());
    // JSON.stringify gives undefined for undefined, which is how a command without reply may answer.
    text.unwrap_or_else(|| "null".into())
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object.into()
}

pub(super) async fn call(bridge: &JsValue, command: &str) -> Result<String, ApiError> {
    let command = JSON::parse(command)
        .map_err(|_| ApiError::new(ErrorKind::Internal, "The page made a command that is not JSON."))?;
    Ok(to_json(&invoke(bridge, "command", object(&[("command", command)])).await?))
}

pub(super) async fn upload(bridge: &JsValue, file: &web_sys::Blob) -> Result<Hash, ApiError> {
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(|e| refusal(&e))?;
    let hash = invoke(bridge, "upload", Uint8Array::new(&buffer).into()).await?;
    hash.as_string().ok_or_else(|| ApiError::new(ErrorKind::Internal, "The upload gave no hash."))
}

pub(super) async fn save(bridge: &JsValue, hash: &str, name: &str) -> Result<Option<String>, ApiError> {
    let args = object(&[("hash", hash.into()), ("name", name.into())]);
    Ok(invoke(bridge, "save_blob", args).await?.as_string())
}

pub(super) async fn read(bridge: &JsValue, hash: &str, most: u64) -> Result<web_sys::Blob, ApiError> {
    let args = object(&[("hash", hash.into()), ("most", (most as f64).into())]);
    let content = invoke(bridge, "read_blob", args).await?;
    let parts = js_sys::Array::of1(&content);
    web_sys::Blob::new_with_buffer_source_sequence(&parts)
        .map_err(|_| ApiError::new(ErrorKind::Internal, "The window cannot hold the content."))
}

/// Whether the app starts with the computer.
pub(super) async fn autostart(bridge: &JsValue) -> Result<bool, ApiError> {
    Ok(invoke(bridge, "autostart", object(&[])).await?.is_truthy())
}

/// Lets the app start with the computer, or not; says what holds now.
pub(super) async fn set_autostart(bridge: &JsValue, on: bool) -> Result<bool, ApiError> {
    Ok(invoke(bridge, "set_autostart", object(&[("on", on.into())])).await?.is_truthy())
}

pub(super) fn listen(bridge: JsValue, news: impl Fn(News) + 'static) {
    spawn_local(async move {
        let news = std::rc::Rc::new(news);
        let tell = news.clone();
        let handler = Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
            let event = crate::frame::read(&to_json(&property(&event, "payload")));
            // What cannot be read may be anything; reading everything anew is safe.
            tell(event.map_or(News::Open, |event| News::Event(Box::new(event))));
        });
        let events = property(&bridge, "event");
        let args = ["fog-event".into(), handler.as_ref().clone()];
        match call_method(&events, "listen", &args).await {
            Ok(_) => {
                handler.forget();
                news(News::Open);
            }
            Err(_) => news(News::Lost),
        }
    });
}
