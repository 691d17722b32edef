//! One message.

use crate::components::{Clock, Glyph, Icon};
use crate::route::Route;
use crate::{browser, words};
use fog_api::{Message, MessageStatus};
use leptos::prelude::*;

/// A message, with how far it is when it is one's own.
#[component]
pub(super) fn Bubble(message: ArcRwSignal<Message>, day: Memo<Option<String>>) -> impl IntoView {
    let message = RwSignal::from(message);
    let (outgoing, time, id) = message.with_untracked(|m| (m.outgoing, m.time, m.id.clone()));
    let text = move || message.with(|m| m.text.clone());
    let failed = Memo::new(move |_| message.with(|m| m.status == MessageStatus::Failed));
    let reason = Memo::new(move |_| {
        let waits = |m: &Message| matches!(m.status, MessageStatus::Pending | MessageStatus::Failed);
        message.with(|m| m.reason.clone().filter(|_| waits(m)))
    });
    let path = Route::Circuits(Some(id.clone())).href();
    view! {
        {move || day.get().map(|day| view! { <li class="day"><span>{day}</span></li> })}
        <li
            class="bubble"
            class:mine=outgoing
            class:failed=move || failed.get()
            data-testid="message"
            data-message=id
        >
            <span class="visually-hidden">{if outgoing { "You: " } else { "They: " }}</span>
            <p class="bubble-text">{text}</p>
            <p class="bubble-foot">
                {outgoing
                    .then(|| {
                        view! {
                            <a
                                class="bubble-path"
                                href=path
                                title="The path it took"
                                aria-label="The path it took"
                                data-testid="message-path"
                            >
                                <Icon glyph=Glyph::Route />
                            </a>
                        }
                    })}
                <Clock time />
                {outgoing.then(|| view! { <Ticks message /> })}
            </p>
            {move || {
                reason.get().map(|reason| view! { <p class="bubble-reason" data-testid="message-reason">{reason}</p> })
            }}
        </li>
    }
    .into_any()
}

/// How far a message is: as a mark, in words for screen readers, with its times in the tool tip.
#[component]
fn Ticks(message: RwSignal<Message>) -> impl IntoView {
    let status = Memo::new(move |_| message.with(|m| m.status));
    let times = move || {
        message.with(|m| {
            let mut text = format!("Written {}", browser::date_time(m.time));
            if let Some(time) = m.delivered {
                text += &format!("\nDelivered {}", browser::date_time(time));
            }
            if let Some(time) = m.read {
                text += &format!("\nRead {}", browser::date_time(time));
            }
            text
        })
    };
    let glyph = move || match status.get() {
        MessageStatus::Pending => Glyph::Hourglass,
        MessageStatus::Sent => Glyph::Check,
        MessageStatus::Delivered | MessageStatus::Read => Glyph::CheckTwice,
        MessageStatus::Failed => Glyph::Alert,
    };
    view! {
        <span
            class=move || format!("ticks {}", words::status(status.get()).1)
            role="img"
            aria-label=move || words::status(status.get()).0
            title=times
            data-testid="message-status"
            data-status=move || words::status(status.get()).1
        >
            {move || view! { <Icon glyph=glyph() /> }}
        </span>
    }
    .into_any()
}
