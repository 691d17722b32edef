//! The list of people, with what they wrote last.

use super::Dialogs;
use crate::components::{Ago, Avatar, Button, Empty, Glyph, Icon, IconButton, Loaded, Look};
use crate::route::Route;
use crate::store::store;
use fog_api::{Contact, ContactState, ListContacts};
use leptos::prelude::*;

/// Whether a contact fits what was typed into the search.
fn fits(contact: &Contact, wanted: &str) -> bool {
    let wanted = wanted.trim().to_lowercase();
    wanted.is_empty()
        || contact.name.to_lowercase().contains(&wanted)
        || contact.id.starts_with(&wanted)
        || contact.fingerprint.to_lowercase().starts_with(&wanted)
}

/// Everybody, the most recently active first.
#[component]
pub(super) fn People(dialogs: Dialogs, peer: Memo<Option<String>>) -> impl IntoView {
    let store = store();
    let wanted = RwSignal::new(String::new());
    let none = Memo::new(move |_| store.contacts.is_empty());
    view! {
        <section class="chat-people" aria-label="People">
            <header class="chat-head">
                <h2>"Chat"</h2>
                <IconButton
                    glyph=Glyph::Card
                    label="My card"
                    on_press=move |()| dialogs.card.set(true)
                    testid="my-card"
                />
                <span data-new="">
                    <IconButton
                        glyph=Glyph::Plus
                        label="Add a contact"
                        on_press=move |()| dialogs.add.set(true)
                        testid="add-contact"
                    />
                </span>
            </header>
            <Loaded load=store.contacts.load retry=move |()| store.contacts.read(ListContacts {}) lines=5>
                <Show
                    when=move || !none.get()
                    fallback=move || view! { <Nobody dialogs /> }
                >
                    <div class="search">
                        <Icon glyph=Glyph::Search />
                        <input
                            type="search"
                            class="input"
                            placeholder="Search people"
                            aria-label="Search people"
                            data-search=""
                            data-testid="people-search"
                            prop:value=move || wanted.get()
                            on:input=move |e| wanted.set(event_target_value(&e))
                        />
                    </div>
                    <ul class="people" data-testid="people">
                        <For
                            each=move || store.contacts.rows.get()
                            key=|row| row.id.clone()
                            children=move |row| view! { <Person id=row.id contact=row.value wanted peer /> }
                        />
                    </ul>
                </Show>
            </Loaded>
        </section>
    }
    .into_any()
}

#[component]
fn Nobody(dialogs: Dialogs) -> impl IntoView {
    view! {
        <Empty
            glyph=Glyph::Chat
            title="Nobody here yet"
            text="Give somebody your card, or paste theirs. A card holds a name, a key and the way to reach it."
        >
            <Button
                label="Add a contact"
                look=Look::Primary
                glyph=Glyph::Plus
                on_press=move |()| dialogs.add.set(true)
                testid="add-contact-first"
            />
            <Button label="Show my card" glyph=Glyph::Card on_press=move |()| dialogs.card.set(true) />
        </Empty>
    }
    .into_any()
}

#[component]
fn Person(
    id: String,
    contact: ArcRwSignal<Contact>,
    wanted: RwSignal<String>,
    peer: Memo<Option<String>>,
) -> impl IntoView {
    let contact = RwSignal::from(contact);
    let name = Signal::derive(move || contact.with(|c| c.name.clone()));
    let shown = Memo::new(move |_| contact.with(|c| wanted.with(|w| fits(c, w))));
    let time = Memo::new(move |_| contact.with(|c| c.last_time));
    let unread = Memo::new(move |_| contact.with(|c| c.unread));
    let state = Memo::new(move |_| contact.with(|c| c.state));
    let line = move || match state.get() {
        ContactState::Asking => "Wants to reach you".to_owned(),
        ContactState::Blocked => "Blocked".to_owned(),
        ContactState::Accepted => {
            contact.with(|c| c.last_text.clone()).unwrap_or_else(|| "No messages yet".into())
        }
    };
    let here = {
        let id = id.clone();
        Memo::new(move |_| peer.with(|p| p.as_deref() == Some(&id)))
    };
    let href = Route::Chat(Some(id.clone())).href();
    view! {
        <li hidden=move || !shown.get()>
            <a
                class="person"
                class:faded=move || state.get() == ContactState::Blocked
                href=href
                aria-current=move || here.get().then_some("true")
                data-testid="contact"
            >
                <Avatar name id online=Signal::derive(move || contact.with(|c| c.online)) />
                <span class="person-main">
                    <span class="person-top">
                        <span class="person-name">{move || name.get()}</span>
                        {move || time.get().map(|time| view! { <Ago time=Signal::stored(time) short=true /> })}
                    </span>
                    <span class="person-bottom">
                        <span class="person-line" class:asking=move || state.get() == ContactState::Asking>
                            {line}
                        </span>
                        {move || {
                            let unread = unread.get();
                            (unread > 0)
                                .then(|| {
                                    view! {
                                        <span class="count">
                                            {unread.min(99)} <span class="visually-hidden">" unread"</span>
                                        </span>
                                    }
                                })
                        }}
                    </span>
                </span>
            </a>
        </li>
    }
    .into_any()
}
