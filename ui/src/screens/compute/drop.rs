//! A place to drop a program, or a folder with a program and its inputs.

use crate::components::{Glyph, Icon};
use crate::files;
use crate::route::Route;
use crate::store::store;
use crate::words::Tone;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Dropping here opens the form with what was dropped.
#[component]
pub(super) fn DropJob() -> impl IntoView {
    let store = store();
    let over = RwSignal::new(false);
    let dropped = move |e: leptos::ev::DragEvent| {
        e.prevent_default();
        over.set(false);
        let Some(transfer) = e.data_transfer() else { return };
        let given = files::dropped(&transfer);
        spawn_local(async move {
            let given = given.await;
            if given.is_empty() {
                store.toast(Tone::Warn, "There was no file in what you dropped.");
                return;
            }
            store.handed.set(given);
            store.go(&Route::NewJob);
        });
    };
    view! {
        <a
            class="drop drop-job"
            class:over=move || over.get()
            href=Route::NewJob.href()
            on:dragover=move |e| {
                e.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
            data-testid="job-drop"
        >
            <Icon glyph=Glyph::File />
            <strong>"Drop a program here to run it"</strong>
            <small>"a WebAssembly module, alone or in a folder with its inputs"</small>
        </a>
    }
    .into_any()
}
