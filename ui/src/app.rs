//! The page's root: decides between the screens for a node that is not ready and the frame with everything else.

use crate::components::{Button, Glyph, Logo, Toasts};
use crate::route::Route;
use crate::screens::{FirstRun, Locked};
use crate::shell::Shell;
use crate::store::{Session, Store, store};
use crate::{browser, shortcuts};
use fog_api::Phase;
use leptos::prelude::*;

/// Draws the page into the document.
pub fn start() {
    mount_to_body(|| view! { <App /> });
}

/// What the page shows as a whole.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Starting,
    Unknown,
    Unreachable,
    FirstRun,
    Locked,
    Ready,
}

#[component]
fn App() -> impl IntoView {
    let owner = Owner::current().unwrap_or_default();
    let fragment = || window().location().hash().unwrap_or_default();
    let store = Store::start(owner, Route::parse(&fragment()));

    browser::on_window("hashchange", move |_| {
        let fragment = fragment();
        if fragment.starts_with("#token=") {
            // Somebody pasted a new address into an open page.
            let _ = window().location().reload();
        } else {
            store.route.set(Route::parse(&fragment));
        }
    });
    let attention = move |_| {
        let focused = browser::in_focus();
        if store.focused.get_untracked() != focused {
            store.focused.set(focused);
        }
        store.now.set(browser::now());
    };
    browser::on_window("focus", attention);
    browser::on_window("blur", attention);
    browser::on_document("visibilitychange", attention);
    let tick = move || {
        if browser::visible() {
            store.now.set(browser::now());
        }
    };
    // Without a clock times only stop moving; nothing else depends on it.
    let _ = set_interval_with_handle(tick, std::time::Duration::from_secs(1));
    shortcuts::listen();
    Effect::new(move |_| {
        let place = store.route.get().place().title();
        let unread = store.unread();
        let mark = if unread > 0 { format!("({unread}) ") } else { String::new() };
        document().set_title(&format!("{mark}{place} · Fog Compute"));
    });

    let stage =
        Memo::new(move |_| match (store.session.get(), store.app.with(|a| a.as_ref().map(|a| a.phase))) {
            (Session::Unknown, _) => Stage::Unknown,
            (Session::Unreachable(_), None) => Stage::Unreachable,
            (_, None) => Stage::Starting,
            (_, Some(Phase::FirstRun)) => Stage::FirstRun,
            (_, Some(Phase::Locked)) => Stage::Locked,
            (_, Some(Phase::Ready)) => Stage::Ready,
        });
    let body = move || match stage.get() {
        Stage::Starting => view! {
            <main class="gate" aria-busy="true">
                <Logo />
                <p class="visually-hidden" role="status">"Starting"</p>
            </main>
        }
        .into_any(),
        Stage::Unknown => view! { <NeedsAddress /> }.into_any(),
        Stage::Unreachable => view! { <NoAnswer /> }.into_any(),
        Stage::FirstRun => view! { <FirstRun /> }.into_any(),
        Stage::Locked => view! { <Locked /> }.into_any(),
        Stage::Ready => view! { <Shell /> }.into_any(),
    };
    view! {
        <Reconnecting />
        {body}
        <Toasts />
    }
    .into_any()
}

/// A slim band while the stream of events is broken.
#[component]
fn Reconnecting() -> impl IntoView {
    let store = store();
    // A break of a moment, as when a laptop wakes up, is not worth a word.
    let lost_since = RwSignal::new(None::<f64>);
    Effect::new(move |_| {
        let linked = store.linked.get();
        lost_since.set((!linked).then(browser::now));
    });
    let shows = Memo::new(move |_| {
        store.session.get() == Session::Open
            && lost_since.get().is_some_and(|since| store.now.get() - since > 1.0)
    });
    Effect::new(move |_| {
        if let Some(body) = document().body() {
            // Toggling a class of a valid name cannot fail.
            let _ = body.class_list().toggle_with_force("banded", shows.get());
        }
    });
    view! {
        <div role="status" aria-live="polite">
            <Show when=move || shows.get()>
                <p class="band" data-testid="reconnecting">
                    "The node does not answer. Reconnecting…"
                </p>
            </Show>
        </div>
    }
    .into_any()
}

/// The node does not know this page.
#[component]
fn NeedsAddress() -> impl IntoView {
    view! {
        <main class="gate" data-testid="needs-address">
            <Logo />
            <h1>"This page needs the address that " <code>"fog node"</code> " printed"</h1>
            <p>
                "The address ends in a token that proves it is you. Copy the whole address from the terminal in which the node was started, and open it here."
            </p>
        </main>
    }
    .into_any()
}

/// The node has not answered since the page was opened.
#[component]
fn NoAnswer() -> impl IntoView {
    let store = store();
    let reason = move || match store.session.get() {
        Session::Unreachable(reason) => reason,
        _ => String::new(),
    };
    view! {
        <main class="gate" data-testid="no-answer">
            <Logo />
            <h1>"No connection to the node"</h1>
            <p role="alert">{reason}</p>
            <Button
                label="Try again"
                glyph=Glyph::Refresh
                on_press=move |()| leptos::task::spawn_local(async move { store.read_state().await })
            />
        </main>
    }
    .into_any()
}
