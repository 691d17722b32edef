//! The few things that the page asks of the browser itself.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Seconds since the Unix epoch, by this device's clock.
pub(crate) fn now() -> f64 {
    js_sys::Date::now() / 1000.0
}

/// The property of a JavaScript object; undefined where it is missing.
pub(crate) fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method that returns a promise, and waits for it.
pub(crate) async fn call_method(object: &JsValue, name: &str, args: &[JsValue]) -> Result<JsValue, JsValue> {
    let method: Function = property(object, name).dyn_into()?;
    let promise = method.apply(object, &args.iter().collect::<js_sys::Array>())?;
    JsFuture::from(Promise::resolve(&promise)).await
}

/// Waits without blocking.
pub(crate) async fn sleep(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        // Without a timer there is no waiting; going on at once is all that is left.
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
    });
    let _ = JsFuture::from(promise).await;
}

/// A value that the page keeps on this device, such as the colour theme.
pub(crate) fn stored(key: &str) -> Option<String> {
    window().local_storage().ok().flatten()?.get_item(key).ok().flatten()
}

/// Keeps a value on this device; where the browser forbids it, the value lasts until the page is closed.
pub(crate) fn store(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}

/// Copies a text to the clipboard; false where the browser forbids it.
pub(crate) async fn copy(text: &str) -> bool {
    let clipboard = window().navigator().clipboard();
    // Outside secure contexts there is no clipboard, and calling it would throw.
    if clipboard.is_undefined() {
        return false;
    }
    JsFuture::from(clipboard.write_text(text)).await.is_ok()
}

/// True while a person can see the page and it has the keyboard.
pub(crate) fn in_focus() -> bool {
    let visible = document().visibility_state() == web_sys::VisibilityState::Visible;
    visible && document().has_focus().unwrap_or(false)
}

/// True while the page can be seen at all.
pub(crate) fn visible() -> bool {
    document().visibility_state() == web_sys::VisibilityState::Visible
}

/// Listens to an event of the window for as long as the page lives.
pub(crate) fn on_window(name: &str, listener: impl FnMut(web_sys::Event) + 'static) {
    let closure = Closure::<dyn FnMut(web_sys::Event)>::new(listener);
    // The window knows every event name; an unknown one would only stay silent.
    let _ = window().add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Listens to an event of the document for as long as the page lives.
pub(crate) fn on_document(name: &str, listener: impl FnMut(web_sys::Event) + 'static) {
    let closure = Closure::<dyn FnMut(web_sys::Event)>::new(listener);
    let _ = document().add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Moves the keyboard to the first element that fits the selector; false where there is none.
pub(crate) fn focus(selector: &str) -> bool {
    let Ok(Some(element)) = document().query_selector(selector) else { return false };
    element.dyn_ref::<web_sys::HtmlElement>().is_some_and(|e| e.focus().is_ok())
}

/// A time of day in the reader's own way of writing it, such as 14:05.
pub(crate) fn clock_time(time: f64) -> String {
    locale_text(time, "toLocaleTimeString", &[("hour", "numeric"), ("minute", "2-digit")])
}

/// A day in the reader's own way, such as "Tue, 4 Mar".
pub(crate) fn day(time: f64) -> String {
    locale_text(time, "toLocaleDateString", &[("weekday", "short"), ("day", "numeric"), ("month", "short")])
}

/// Day and time in full, for tool tips and details.
pub(crate) fn date_time(time: f64) -> String {
    locale_text(time, "toLocaleString", &[("dateStyle", "medium"), ("timeStyle", "medium")])
}

/// The same number for all times of one day, here where the reader is.
pub(crate) fn day_number(time: f64) -> i64 {
    let date = js_sys::Date::new(&(time * 1000.0).into());
    (time as i64 - date.get_timezone_offset() as i64 * 60).div_euclid(86_400)
}

fn locale_text(time: f64, method: &str, options: &[(&str, &str)]) -> String {
    let date: JsValue = js_sys::Date::new(&(time * 1000.0).into()).into();
    let bag = js_sys::Object::new();
    for (key, value) in options {
        // Setting a property of a plain object cannot fail.
        let _ = Reflect::set(&bag, &(*key).into(), &(*value).into());
    }
    let text = property(&date, method)
        .dyn_into::<Function>()
        .and_then(|f| f.call2(&date, &JsValue::UNDEFINED, &bag))
        .ok()
        .and_then(|t| t.as_string());
    text.unwrap_or_default()
}
