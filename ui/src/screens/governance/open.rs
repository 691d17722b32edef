//! Opening a proposal.

use crate::components::{Button, Dialog, Look, Notice, TextArea, TextField};
use crate::core_link::call;
use crate::route::Route;
use crate::store::store;
use crate::words::{self, KINDS, Tone};
use fog_api::{CreateProposal, ProposalKind};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// A dialog with kind, title and text.
#[component]
pub(super) fn OpenProposal(open: RwSignal<bool>) -> impl IntoView {
    let store = store();
    // What was written stays when the dialog is closed by mistake.
    let kind = RwSignal::new(ProposalKind::General);
    let title = RwSignal::new(String::new());
    let body = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        let (title_text, body_text) = (title.get_untracked().trim().to_owned(), body.get_untracked());
        if title_text.is_empty() || busy.get_untracked() {
            return;
        }
        busy.set(true);
        refusal.set(None);
        spawn_local(async move {
            let kind = kind.get_untracked();
            match call(CreateProposal { kind, title: title_text, body: body_text }).await {
                Ok(proposal) => {
                    let id = proposal.id.clone();
                    store.proposals.put(proposal);
                    title.set(String::new());
                    body.set(String::new());
                    open.set(false);
                    store.go(&Route::Proposal(id));
                }
                Err(error) => refusal.set(Some(error.message)),
            }
            busy.set(false);
        });
    };
    let choose = move |e: leptos::ev::Event| {
        let chosen = event_target_value(&e).parse::<usize>().ok().and_then(|i| KINDS.get(i).copied());
        kind.set(chosen.unwrap_or(ProposalKind::General));
    };
    view! {
        <Dialog open title="New proposal" testid="proposal-dialog">
            <form class="form" on:submit=submit>
                <div class="field">
                    <label for="proposal-kind">"Kind"</label>
                    <select
                        id="proposal-kind"
                        class="input"
                        data-testid="proposal-kind"
                        aria-describedby="proposal-kind-hint"
                        on:change=choose
                    >
                        {KINDS
                            .into_iter()
                            .enumerate()
                            .map(|(i, k)| {
                                view! {
                                    <option value=i.to_string() selected=move || kind.get_untracked() == k>
                                        {words::kind(k).0}
                                    </option>
                                }
                            })
                            .collect_view()}
                    </select>
                    <small id="proposal-kind-hint">{move || words::kind(kind.get()).1}</small>
                </div>
                <TextField label="Title" value=title max_length=120 required=true testid="proposal-title" />
                <TextArea
                    label="Text"
                    value=body
                    rows=6
                    hint="What should change, and why. It cannot be edited afterwards."
                    testid="proposal-body"
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="proposal-error" /> })}
                <footer class="dialog-actions">
                    <Button label="Cancel" look=Look::Quiet on_press=move |()| open.set(false) />
                    <Button
                        label="Open for voting"
                        look=Look::Primary
                        busy
                        disabled=Signal::derive(move || title.with(|t| t.trim().is_empty()))
                        testid="proposal-submit"
                    />
                </footer>
            </form>
        </Dialog>
    }
    .into_any()
}
