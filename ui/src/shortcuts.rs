//! The keyboard: `g` and a letter go to a place, `/` to the search, `n` begins something new, `?` lists all this.

use crate::browser;
use crate::components::Dialog;
use crate::route::Place;
use crate::store::store;
use leptos::prelude::*;
use std::cell::Cell;
use wasm_bindgen::JsCast;

/// The second key must follow the first within this time, seconds.
const PATIENCE: f64 = 1.5;

thread_local! {
    static HELP: Cell<Option<RwSignal<bool>>> = const { Cell::new(None) };
}

/// Listens for as long as the page lives.
pub(crate) fn listen() {
    HELP.set(Some(RwSignal::new(false)));
    let pressed_g = Cell::new(0.0);
    browser::on_window("keydown", move |event| {
        let Ok(event) = event.dyn_into::<web_sys::KeyboardEvent>() else { return };
        if event.ctrl_key() || event.meta_key() || event.alt_key() || event.is_composing() || busy() {
            return;
        }
        let key = event.key();
        let after_g = browser::now() - pressed_g.take() < PATIENCE;
        let place = Place::ALL.into_iter().find(|p| after_g && key.chars().eq([p.key()]));
        let handled = match (place, key.as_str()) {
            (Some(place), _) => {
                store().go(&place.route());
                true
            }
            (None, "g") => {
                pressed_g.set(browser::now());
                true
            }
            (None, "/") => browser::focus("[data-search]") || browser::focus("[data-composer]"),
            (None, "n") => press("[data-new]"),
            (None, "?") => {
                if let Some(help) = HELP.get() {
                    help.set(true);
                }
                true
            }
            _ => false,
        };
        if handled {
            event.prevent_default();
        }
    });
}

/// True while letters belong to a field, or a dialog is open.
fn busy() -> bool {
    if document().query_selector("dialog[open]").is_ok_and(|d| d.is_some()) {
        return true;
    }
    let Some(element) = document().active_element() else { return false };
    matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
}

fn press(selector: &str) -> bool {
    let Ok(Some(element)) = document().query_selector(selector) else { return false };
    let target = element.query_selector("button, a").ok().flatten().unwrap_or(element);
    match target.dyn_ref::<web_sys::HtmlElement>() {
        Some(target) => {
            target.click();
            true
        }
        None => false,
    }
}

/// The list of keys.
#[component]
pub(crate) fn Help() -> impl IntoView {
    let open = HELP.get().unwrap_or_default();
    view! {
        <Dialog open title="Keyboard" testid="shortcuts">
            <dl class="keys">
                {Place::ALL
                    .map(|place| {
                        view! {
                            <div>
                                <dt>{place.title()}</dt>
                                <dd><kbd>"g"</kbd> <kbd>{place.key()}</kbd></dd>
                            </div>
                        }
                    })
                    .collect_view()}
                <div><dt>"Search, or write"</dt><dd><kbd>"/"</kbd></dd></div>
                <div><dt>"Something new here"</dt><dd><kbd>"n"</kbd></dd></div>
                <div><dt>"Close a dialog"</dt><dd><kbd>"Esc"</kbd></dd></div>
                <div><dt>"This list"</dt><dd><kbd>"?"</kbd></dd></div>
            </dl>
        </Dialog>
    }
    .into_any()
}
