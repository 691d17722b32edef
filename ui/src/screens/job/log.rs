//! What a job writes, as it writes it.

use super::Shown;
use crate::components::{Button, Card, Glyph};
use crate::core_link::call;
use crate::format;
use crate::store::store;
use fog_api::GetJobLog;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Bytes of text that are kept here. What is older can be read with the command line.
const KEPT: usize = 256 * 1024;
/// Bytes asked for at a time.
const PART: u32 = 64 * 1024;
/// So near to the end, pixels, the reader follows it.
const NEAR: i32 = 40;

/// The log, following its end unless the reader has gone up.
#[component]
pub(super) fn Log(job: Shown) -> impl IntoView {
    let store = store();
    let id = job.with_untracked(|j| j.as_ref().map(|j| j.id.clone())).unwrap_or_default();
    let total = Memo::new(move |_| job.with(|j| j.as_ref().map_or(0, |j| j.log_bytes)));
    let ended = Memo::new(move |_| job.with(|j| j.as_ref().is_some_and(|j| j.state.is_final())));
    let text = RwSignal::new(String::new());
    // Where what follows begins; what is before the first kept byte is left out.
    let next = StoredValue::new(0u64);
    let cut = RwSignal::new(false);
    let busy = StoredValue::new(false);
    let failed = RwSignal::new(None::<String>);
    let pre = NodeRef::<html::Pre>::new();

    let append = move |part: &str| {
        let follows =
            pre.get_untracked().is_none_or(|p| p.scroll_height() - p.scroll_top() - p.client_height() < NEAR);
        text.update(|text| {
            text.push_str(part);
            if text.len() > KEPT {
                let mut from = text.len() - KEPT;
                while !text.is_char_boundary(from) {
                    from += 1;
                }
                text.drain(..from);
                cut.set(true);
            }
        });
        if follows {
            request_animation_frame(move || {
                if let Some(pre) = pre.get_untracked() {
                    pre.set_scroll_top(pre.scroll_height());
                }
            });
        }
    };
    let read = {
        let id = id.clone();
        Callback::new(move |()| {
            if busy.get_value() {
                return;
            }
            busy.set_value(true);
            let id = id.clone();
            spawn_local(async move {
                loop {
                    // The screen may be gone by the time the reply comes.
                    let Some(offset) = next.try_get_value() else { return };
                    let reply = call(GetJobLog { id: id.clone(), offset, limit: PART }).await;
                    if next.try_get_value().is_none() {
                        return;
                    }
                    match reply {
                        Ok(part) => {
                            failed.set(None);
                            if part.next <= offset {
                                break;
                            }
                            next.set_value(part.next);
                            append(&part.text);
                        }
                        Err(error) => {
                            failed.set(Some(error.message));
                            break;
                        }
                    }
                }
                busy.set_value(false);
            });
        })
    };
    // Long logs are read from near their end.
    let known = total.get_untracked();
    if known > KEPT as u64 {
        next.set_value(known - KEPT as u64);
        cut.set(true);
    }
    Effect::new(move |_| {
        // Whatever says that there is more: a part, the job's own count, or a break in the stream of events.
        store.missed.track();
        let total = total.get();
        let fits = store.job_log.with(|part| match part {
            Some(part) if part.id == id && part.offset == next.get_value() && !busy.get_value() => {
                next.set_value(part.next);
                append(&part.text);
                true
            }
            Some(part) => part.id != id || part.next <= next.get_value(),
            None => true,
        });
        if !fits || total > next.get_value() {
            read.run(());
        }
    });
    read.run(());
    view! {
        <Show when=move || !text.with(String::is_empty) || failed.with(Option::is_some) || !ended.get()>
            <Card
                title="Log"
                aside=move || view! { <span class="hint">{move || format::bytes(total.get().max(next.get_value()))}</span> }
                testid="job-log-card"
            >
                {move || {
                    failed.get().map(|reason| view! {
                        <p class="hint">{reason}</p>
                        <Button label="Try again" glyph=Glyph::Refresh on_press=read />
                    })
                }}
                <Show
                    when=move || !text.with(String::is_empty)
                    fallback=|| view! { <p class="hint" data-testid="job-log-empty">"The program has written nothing yet. What it writes shows here at once."</p> }
                >
                    {move || cut.get().then(|| view! { <p class="hint">"What was before is left out; `fog job logs` has all of it."</p> })}
                    <pre class="output log" tabindex="0" role="log" aria-label="Log" data-testid="job-log" node_ref=pre>
                        {move || text.get()}
                    </pre>
                </Show>
            </Card>
        </Show>
    }
    .into_any()
}
