//! The frame around every screen: the navigation beside it, or under it where the page is narrow.

use crate::components::{Avatar, Glyph, Icon, Logo};
use crate::route::{Place, Route};
use crate::screens::{
    Chat, Circuits, Compute, Earnings, Governance, Job, NewJob, Overview, Proposal, Settings,
};
use crate::shortcuts::Help;
use crate::store::store;
use leptos::prelude::*;

fn glyph(place: Place) -> Glyph {
    match place {
        Place::Overview => Glyph::Home,
        Place::Chat => Glyph::Chat,
        Place::Circuits => Glyph::Circuits,
        Place::Compute => Glyph::Compute,
        Place::Earnings => Glyph::Earnings,
        Place::Governance => Glyph::Governance,
        Place::Settings => Glyph::Settings,
    }
}

fn testid(place: Place) -> &'static str {
    match place {
        Place::Overview => "nav-overview",
        Place::Chat => "nav-chat",
        Place::Circuits => "nav-circuits",
        Place::Compute => "nav-compute",
        Place::Earnings => "nav-earnings",
        Place::Governance => "nav-governance",
        Place::Settings => "nav-settings",
    }
}

/// The navigation and the present screen.
#[component]
pub(crate) fn Shell() -> impl IntoView {
    let store = store();
    let screen = move || match store.route.get() {
        Route::Overview => view! { <Overview /> }.into_any(),
        // The chat looks at the route itself, so that changing the conversation keeps the list as it is.
        Route::Chat(_) => ().into_any(),
        Route::Circuits(message) => view! { <Circuits message /> }.into_any(),
        Route::Compute => view! { <Compute /> }.into_any(),
        Route::NewJob => view! { <NewJob /> }.into_any(),
        Route::Job(id) => view! { <Job id /> }.into_any(),
        Route::Earnings => view! { <Earnings /> }.into_any(),
        Route::Governance => view! { <Governance /> }.into_any(),
        Route::Proposal(id) => view! { <Proposal id /> }.into_any(),
        Route::Settings => view! { <Settings /> }.into_any(),
    };
    let in_chat = Memo::new(move |_| matches!(store.route.get(), Route::Chat(_)));
    let in_thread = move || matches!(store.route.get(), Route::Chat(Some(_)));
    view! {
        <div class="shell" class:in-thread=in_thread>
            <a class="skip" href="#main" on:click=|e| {
                // The fragment is the route, so the jump is made by hand.
                e.prevent_default();
                crate::browser::focus("#main");
            }>"Skip to content"</a>
            <Navigation />
            <main id="main" class="main" tabindex="-1">
                <Show when=move || in_chat.get() fallback=move || screen>
                    <Chat />
                </Show>
            </main>
            <Help />
        </div>
    }
    .into_any()
}

#[component]
fn Navigation() -> impl IntoView {
    let store = store();
    let name = Signal::derive(move || {
        store.app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.name.clone())).unwrap_or_default()
    });
    view! {
        <nav class="nav" aria-label="Main">
            <a class="nav-brand" href=Route::Overview.href() aria-label="Fog Compute, overview">
                <Logo />
                <span>"Fog Compute"</span>
            </a>
            <ul>{Place::ALL.map(|place| view! { <NavItem place /> }).collect_view()}</ul>
            <a class="nav-me" href=Route::Settings.href()>
                <Avatar name id=store.my_id() />
                <span>{move || name.get()}</span>
            </a>
        </nav>
    }
    .into_any()
}

#[component]
fn NavItem(place: Place) -> impl IntoView {
    let store = store();
    let here = Memo::new(move |_| store.route.get().place() == place);
    let count = Memo::new(move |_| match place {
        Place::Chat => store.unread(),
        Place::Governance => store.open_votes(),
        _ => 0,
    });
    let meaning = if place == Place::Chat { "unread" } else { "open votes" };
    view! {
        <li>
            <a
                class="nav-item"
                href=place.route().href()
                aria-current=move || here.get().then_some("page")
                title=format!("{}  (g {})", place.title(), place.key())
                data-testid=testid(place)
            >
                <Icon glyph=glyph(place) />
                <span class="nav-label">{place.title()}</span>
                {move || {
                    let count = count.get();
                    (count > 0)
                        .then(|| {
                            view! {
                                <span class="count">
                                    {count.min(99)} <span class="visually-hidden">{format!(" {meaning}")}</span>
                                </span>
                            }
                        })
                }}
            </a>
        </li>
    }
    .into_any()
}
