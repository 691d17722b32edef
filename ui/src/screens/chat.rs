//! Chat: the people on one side, a conversation on the other; one at a time where the page is narrow.

mod add;
mod bubble;
mod composer;
mod my_card;
mod people;
mod thread;

use crate::components::{Empty, Glyph};
use crate::route::Route;
use crate::store::store;
use add::AddContact;
use fog_api::ListContacts;
use leptos::prelude::*;
use my_card::MyCard;
use people::People;
use thread::Conversation;

/// The dialogs that several parts of the chat open.
#[derive(Clone, Copy)]
struct Dialogs {
    add: RwSignal<bool>,
    card: RwSignal<bool>,
}

/// People and a conversation.
#[component]
pub(crate) fn Chat() -> impl IntoView {
    let store = store();
    store.contacts.ensure(ListContacts {});
    let dialogs = Dialogs { add: RwSignal::new(false), card: RwSignal::new(false) };
    let peer = Memo::new(move |_| match store.route.get() {
        Route::Chat(peer) => peer,
        _ => None,
    });
    view! {
        <div class="chat" class:open=move || peer.with(Option::is_some) data-testid="chat">
            <h1 class="visually-hidden">"Chat"</h1>
            <People dialogs peer />
            <section class="chat-thread" aria-label="Conversation">
                {move || match peer.get() {
                    Some(peer) => view! { <Conversation peer /> }.into_any(),
                    None => view! { <NothingOpen /> }.into_any(),
                }}
            </section>
        </div>
        <AddContact open=dialogs.add />
        <MyCard open=dialogs.card />
    }
    .into_any()
}

#[component]
fn NothingOpen() -> impl IntoView {
    view! {
        <Empty
            glyph=Glyph::Chat
            title="No conversation open"
            text="Choose somebody on the left. Everything is sealed end to end and travels over three relays."
        />
    }
    .into_any()
}
