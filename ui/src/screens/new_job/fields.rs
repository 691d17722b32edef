//! The form's own kinds of fields.

use super::Chosen;
use super::send::ME;
use crate::components::{Glyph, Icon};
use crate::files::{self, Given};
use crate::format;
use crate::store::store;
use fog_api::ContactState;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;

/// Who is to run it.
#[component]
pub(super) fn Target(to: RwSignal<String>) -> impl IntoView {
    let people = move || {
        let accepted = store().contacts.values().into_iter().filter(|c| c.state == ContactState::Accepted);
        accepted
            .map(|c| {
                let label = if c.online { c.name } else { format!("{} (offline)", c.name) };
                view! { <option value=c.id>{label}</option> }
            })
            .collect_view()
    };
    view! {
        <div class="field">
            <label for="job-to">"Run on"</label>
            <select
                id="job-to"
                class="input"
                data-testid="job-to"
                prop:value=move || to.get()
                on:change=move |e| to.set(event_target_value(&e))
            >
                <option value="">"Whoever of my contacts is best"</option>
                <option value=ME>"This device, at once and without pay"</option>
                {people}
            </select>
        </div>
    }
    .into_any()
}

/// A place to drop a file, or to choose one. What is dropped goes to `taken`, since it may be more than one file.
#[component]
pub(super) fn FileField(
    label: &'static str,
    accept: &'static str,
    file: Chosen,
    #[prop(into)] taken: Callback<Vec<Given>>,
    testid: &'static str,
) -> impl IntoView {
    let over = RwSignal::new(false);
    let about = move || file.with(|f| f.as_ref().map(|f| (f.name(), format::bytes(f.size() as u64))));
    let choose = move |e: leptos::ev::Event| {
        let input = e.target().and_then(|t| t.dyn_into::<web_sys::HtmlInputElement>().ok());
        file.set(input.and_then(|i| i.files()).and_then(|f| f.get(0)));
    };
    let dropped = move |e: leptos::ev::DragEvent| {
        e.prevent_default();
        over.set(false);
        let Some(transfer) = e.data_transfer() else { return };
        let given = files::dropped(&transfer);
        spawn_local(async move {
            let given = given.await;
            if !given.is_empty() {
                taken.run(given);
            }
        });
    };
    view! {
        <div class="field">
            <span class="field-label" aria-hidden="true">{label}</span>
            <label
                class="drop"
                class:over=move || over.get()
                on:dragover=move |e| {
                    e.prevent_default();
                    over.set(true);
                }
                on:dragleave=move |_| over.set(false)
                on:drop=dropped
            >
                <input type="file" class="visually-hidden" accept=accept aria-label=label on:change=choose data-testid=testid />
                <Icon glyph=Glyph::File />
                {move || match about() {
                    Some((name, size)) => view! {
                        <strong>{name}</strong>
                        <small>{size}</small>
                    }
                    .into_any(),
                    None => view! {
                        <strong>"Choose a file"</strong>
                        <small>"or drop it here"</small>
                    }
                    .into_any(),
                }}
            </label>
        </div>
    }
    .into_any()
}
