//! One conversation.

use super::bubble::Bubble;
use super::composer::Composer;
use crate::browser;
use crate::components::{
    Avatar, Badge, Button, Choice, Dialog, Empty, Glyph, IconButton, IconLink, Loaded, Look, TestNetwork,
};
use crate::format;
use crate::route::Route;
use crate::store::{PAGE, store};
use crate::words::Tone;
use fog_api::{
    Contact, ContactState, ListMessages, MarkRead, PrivacyLevel, SetContactState, SetPrivacyLevel,
};
use leptos::html;
use leptos::prelude::*;
use std::collections::HashMap;
use wasm_bindgen::JsCast;

/// A distance from the end, in pixels, within which new messages are followed.
const NEAR_END: i32 = 120;

/// The conversation with somebody.
#[component]
pub(super) fn Conversation(peer: String) -> impl IntoView {
    let store = store();
    let contact = {
        let peer = peer.clone();
        Memo::new(move |_| store.contacts.find(&peer).map(|c| c.get()))
    };
    let known = Memo::new(move |_| contact.with(Option::is_some));
    let state = Memo::new(move |_| contact.with(|c| c.as_ref().map(|c| c.state)));

    // Whoever sees the conversation has read it. Who is only asking does not learn that somebody looked.
    let unread = Memo::new(move |_| contact.with(|c| c.as_ref().map_or(0, |c| c.unread)));
    let reader = peer.clone();
    Effect::new(move |_| {
        let accepted = state.get() == Some(ContactState::Accepted);
        if unread.get() > 0 && accepted && store.focused.get() {
            let contact = contact.get_untracked();
            store.act(MarkRead { peer: reader.clone() }, move |()| {
                if let Some(mut contact) = contact {
                    contact.unread = 0;
                    store.contacts.put(contact);
                }
            });
        }
    });

    let peer = StoredValue::new(peer);
    view! {
        <Loaded load=store.contacts.load retry=move |()| store.contacts.read(fog_api::ListContacts {}) lines=5>
            <Show
                when=move || known.get()
                fallback=|| {
                    view! {
                        <Empty
                            glyph=Glyph::Alert
                            title="No such contact"
                            text="The address of this page names somebody whom this node does not know."
                        />
                    }
                }
            >
                <Head contact />
                <Messages peer=peer.get_value() />
                {move || match state.get() {
                    Some(ContactState::Accepted) => view! { <Composer peer=peer.get_value() /> }.into_any(),
                    Some(ContactState::Asking) => view! { <Asking peer=peer.get_value() contact /> }.into_any(),
                    Some(ContactState::Blocked) => view! { <Blocked peer=peer.get_value() /> }.into_any(),
                    None => ().into_any(),
                }}
            </Show>
        </Loaded>
    }
    .into_any()
}

#[component]
fn Head(contact: Memo<Option<Contact>>) -> impl IntoView {
    let store = store();
    let about = RwSignal::new(false);
    let name =
        Signal::derive(move || contact.with(|c| c.as_ref().map(|c| c.name.clone())).unwrap_or_default());
    let id = contact.with_untracked(|c| c.as_ref().map(|c| c.id.clone())).unwrap_or_default();
    let test = Memo::new(move |_| contact.with(|c| c.as_ref().is_some_and(|c| c.test_network)));
    let seen = Memo::new(move |_| {
        contact.with(|c| match c {
            Some(c) if c.online => "online".to_owned(),
            Some(Contact { last_seen: Some(time), .. }) => {
                format!("last heard from {}", format::relative(*time, store.now.get()))
            }
            _ => "not heard from yet".to_owned(),
        })
    });
    view! {
        <header class="chat-head">
            <IconLink glyph=Glyph::Back label="All conversations" to=Route::Chat(None) class="back narrow-only" />
            <Avatar
                name
                id
                online=Signal::derive(move || contact.with(|c| c.as_ref().is_some_and(|c| c.online)))
            />
            <div class="chat-who">
                <h2 data-testid="thread-name">{move || name.get()}</h2>
                <p>{move || seen.get()}</p>
            </div>
            {move || match contact.with(|c| c.as_ref().map(level)) {
                Some(PrivacyLevel::Public) => {
                    view! { <Badge text="Direct, no anonymity" tone=Tone::Warn testid="public-level" /> }.into_any()
                }
                Some(PrivacyLevel::Confidential) => {
                    view! { <Badge text="5 relays" tone=Tone::Good testid="five-relays" /> }.into_any()
                }
                Some(PrivacyLevel::Secret) => {
                    view! { <Badge text="Meeting point" tone=Tone::Good testid="secret-level" /> }.into_any()
                }
                _ => ().into_any(),
            }}
            {move || test.get().then(|| view! { <TestNetwork /> })}
            <IconButton glyph=Glyph::Info label="About this contact" on_press=move |()| about.set(true) testid="about-contact" />
        </header>
        <Dialog open=about title="Contact">
            <About contact open=about />
        </Dialog>
    }
    .into_any()
}

/// The level that holds: the higher of both wishes.
fn level(contact: &Contact) -> PrivacyLevel {
    contact.privacy.max(contact.privacy_asked)
}

#[component]
fn About(contact: Memo<Option<Contact>>, open: RwSignal<bool>) -> impl IntoView {
    let store = store();
    let part =
        move |f: fn(&Contact) -> String| move || contact.with(|c| c.as_ref().map(f)).unwrap_or_default();
    let blocked = move || contact.with(|c| c.as_ref().is_some_and(|c| c.state == ContactState::Blocked));
    let set = move |state| {
        let Some(peer) = contact.with_untracked(|c| c.as_ref().map(|c| c.id.clone())) else { return };
        store.act(SetContactState { peer, state }, move |contact| {
            store.contacts.put(contact);
            open.set(false);
        });
    };
    let chosen = move |level: PrivacyLevel| {
        Signal::derive(move || contact.with(|c| c.as_ref().is_some_and(|c| c.privacy == level)))
    };
    let choose = move |level: PrivacyLevel| {
        let Some(peer) = contact.with_untracked(|c| c.as_ref().map(|c| c.id.clone())) else { return };
        store.act(SetPrivacyLevel { peer, level }, move |contact| store.contacts.put(contact));
    };
    let choice = move |level: PrivacyLevel, title: &'static str, hint: &'static str, testid: &str| {
        view! {
            <Choice group="privacy" title hint chosen=chosen(level) choose=move |()| choose(level) testid=testid.to_owned() />
        }
    };
    // They may have asked for more than was chosen here: the higher of both holds.
    let more = move || {
        let contact = contact.get()?;
        if level(&contact) == contact.privacy {
            return None;
        }
        Some(match level(&contact) {
            PrivacyLevel::Private => {
                "They have not chosen a direct connection: it is three relays for both of you."
            }
            _ => "They asked for a higher level than you chose, and it holds for both of you.",
        })
    };
    view! {
        <dl class="facts stacked">
            <div class="fact"><dt>"Name on the card"</dt><dd>{part(|c| c.name.clone())}</dd></div>
            <div class="fact">
                <dt>"Fingerprint"</dt>
                <dd>
                    <code>{part(|c| c.fingerprint.clone())}</code>
                    <small>"If both of you see the same here, nobody sits in between."</small>
                </dd>
            </div>
            <div class="fact"><dt>"Id"</dt><dd><code class="break">{part(|c| c.id.clone())}</code></dd></div>
            <div class="fact"><dt>"Network"</dt><dd><code class="break">{part(|c| c.network.clone())}</code></dd></div>
        </dl>
        <fieldset class="choices" data-testid="privacy-level">
            <legend>"How far messages go"</legend>
            {choice(
                PrivacyLevel::Public,
                "Directly",
                "No relays: the fastest. They learn your network address, and whoever watches your line sees that you two are in touch. Both of you have to choose it; while there is no such connection, messages go over three relays.",
                "level-public",
            )}
            {choice(
                PrivacyLevel::Private,
                "Three relays",
                "None of them alone learns who writes to whom. Two of them together may.",
                "level-private",
            )}
            {choice(
                PrivacyLevel::Confidential,
                "Five relays",
                "Takes longer. Even two of them together cannot tell who writes to whom.",
                "level-confidential",
            )}
            {choice(
                PrivacyLevel::Secret,
                "A meeting point",
                "Five relays from each of you to a relay where you meet, with cover traffic on: not even the other side's relays learn your home relay. The slowest.",
                "level-secret",
            )}
        </fieldset>
        <p class="hint">{more} " Whoever watches your line still sees when you write, unless cover traffic runs."</p>
        <footer class="dialog-actions">
            {move || {
                if blocked() {
                    view! { <Button label="Unblock" on_press=move |()| set(ContactState::Accepted) /> }.into_any()
                } else {
                    view! {
                        <Button
                            label="Block"
                            look=Look::Danger
                            glyph=Glyph::Block
                            on_press=move |()| set(ContactState::Blocked)
                            testid="block-contact"
                        />
                    }
                        .into_any()
                }
            }}
        </footer>
    }
    .into_any()
}

#[component]
fn Messages(peer: String) -> impl IntoView {
    let store = store();
    let thread = store.thread(&peer);
    let list = NodeRef::<html::Div>::new();
    let at_end = StoredValue::new(true);
    let count = Memo::new(move |_| thread.messages.rows.with(Vec::len));
    let last_is_mine = move || {
        thread
            .messages
            .rows
            .with_untracked(|r| r.last().is_some_and(|r| r.value.with_untracked(|m| m.outgoing)))
    };
    // Follows new messages, unless the reader has scrolled up to older ones; one's own are always followed.
    Effect::new(move |before: Option<usize>| {
        let count = count.get();
        if let Some(list) = list.get()
            && (at_end.get_value() || (before.is_some_and(|b| count == b + 1) && last_is_mine()))
        {
            request_animation_frame(move || list.set_scroll_top(list.scroll_height()));
        }
        count
    });
    let scrolled = move |e: leptos::ev::Event| {
        if let Some(list) = e.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok()) {
            at_end.set_value(list.scroll_height() - list.scroll_top() - list.client_height() < NEAR_END);
        }
    };
    let retry_peer = peer.clone();
    let older_peer = StoredValue::new(peer);
    let older = move |()| {
        let oldest = thread.messages.rows.with_untracked(|r| r.first().map(|r| r.id.clone()));
        let request = ListMessages { peer: older_peer.get_value(), before: oldest, limit: PAGE };
        thread.messages.read_with(request, move |list, items| {
            thread.more.set(items.len() == PAGE as usize);
            list.merge(items);
        });
    };
    // A day's name stands before its first message. Found in one pass for all of them.
    let days = Memo::new(move |_| {
        let mut last = None;
        let mut starts = HashMap::new();
        thread.messages.rows.with(|rows| {
            for row in rows {
                let time = row.value.with_untracked(|m| m.time);
                let day = browser::day_number(time);
                if last.replace(day) != Some(day) {
                    starts.insert(row.id.clone(), browser::day(time));
                }
            }
        });
        starts
    });
    view! {
        <div
            class="messages"
            node_ref=list
            role="log"
            aria-label="Messages"
            aria-live="polite"
            tabindex="0"
            on:scroll=scrolled
            data-testid="messages"
        >
            <Loaded load=thread.messages.load retry=move |()| store.read_thread(&retry_peer) lines=4>
                <Show when=move || thread.more.get()>
                    <div class="older">
                        <Button label="Older messages" look=Look::Quiet on_press=older />
                    </div>
                </Show>
                <Show when=move || count.get() == 0>
                    <Empty
                        glyph=Glyph::Lock
                        title="No messages yet"
                        text="What you write is sealed for this person before it leaves your device."
                    />
                </Show>
                <ol class="bubbles">
                    <For
                        each=move || thread.messages.rows.get()
                        key=|row| row.id.clone()
                        children=move |row| {
                            let id = row.id.clone();
                            let day = Memo::new(move |_| days.with(|d| d.get(&id).cloned()));
                            view! { <Bubble message=row.value day /> }
                        }
                    />
                </ol>
            </Loaded>
        </div>
    }
    .into_any()
}

#[component]
fn Asking(peer: String, contact: Memo<Option<Contact>>) -> impl IntoView {
    let store = store();
    let busy = RwSignal::new(false);
    let answer = move |state: ContactState| {
        busy.set(true);
        let peer = peer.clone();
        leptos::task::spawn_local(async move {
            match crate::core_link::call(SetContactState { peer, state }).await {
                Ok(contact) => {
                    store.contacts.put(contact);
                    if state == ContactState::Accepted {
                        store.toast(Tone::Good, "Accepted. You can write to each other now.");
                    }
                }
                Err(error) => store.complain(&error),
            }
            busy.set(false);
        });
    };
    let (accept, block) = (answer.clone(), answer);
    view! {
        <div class="answer" data-testid="asking">
            <p>
                <strong>{move || contact.with(|c| c.as_ref().map(|c| c.name.clone()))}</strong>
                " added you. Accept to write to each other, or block to hear nothing more."
            </p>
            <div class="answer-actions">
                <Button
                    label="Accept"
                    look=Look::Primary
                    glyph=Glyph::Check
                    busy
                    on_press=move |()| accept(ContactState::Accepted)
                    testid="accept-contact"
                />
                <Button
                    label="Block"
                    glyph=Glyph::Block
                    busy
                    on_press=move |()| block(ContactState::Blocked)
                    testid="block-asking"
                />
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn Blocked(peer: String) -> impl IntoView {
    let store = store();
    let unblock = move |()| {
        store.act(SetContactState { peer: peer.clone(), state: ContactState::Accepted }, move |contact| {
            store.contacts.put(contact);
        });
    };
    view! {
        <div class="answer">
            <p>"You blocked this contact. Nothing of theirs gets in."</p>
            <div class="answer-actions">
                <Button label="Unblock" on_press=unblock testid="unblock-contact" />
            </div>
        </div>
    }
    .into_any()
}
