//! Governance: all proposals, and the dialog to open one.

mod open;

use crate::components::{Badge, Button, Card, Empty, Glyph, Icon, Loaded, Look, Meter, Page};
use crate::format;
use crate::route::Route;
use crate::store::store;
use crate::words::{self, Standing};
use fog_api::{ListProposals, ProposalState, ProposalView};
use leptos::prelude::*;
use open::OpenProposal;

/// All proposals, the newest first.
#[component]
pub(crate) fn Governance() -> impl IntoView {
    let proposals = store().proposals;
    proposals.ensure(ListProposals {});
    let opening = RwSignal::new(false);
    let none = Memo::new(move |_| proposals.is_empty());
    view! {
        <Page
            title="Governance"
            subtitle="Whoever holds FOG decides on the rules. Your vote weighs what you held when the proposal was opened."
            actions=move || {
                view! {
                    <span data-new="">
                        <Button
                            label="New proposal"
                            look=Look::Primary
                            glyph=Glyph::Plus
                            on_press=move |()| opening.set(true)
                            testid="new-proposal"
                        />
                    </span>
                }
            }
            testid="governance"
        >
            <Loaded load=proposals.load retry=move |()| proposals.read(ListProposals {}) lines=4>
                <Card>
                    <Show
                        when=move || !none.get()
                        fallback=|| {
                            view! {
                                <Empty
                                    glyph=Glyph::Governance
                                    title="No proposals yet"
                                    text="Open the first one: a question to everybody, or a change of the rules."
                                />
                            }
                        }
                    >
                        <ul class="rows">
                            <For
                                each=move || proposals.rows.get()
                                key=|row| row.id.clone()
                                children=|row| view! { <Item proposal=row.value /> }
                            />
                        </ul>
                    </Show>
                </Card>
            </Loaded>
        </Page>
        <OpenProposal open=opening />
    }
    .into_any()
}

/// "3:05 left", "ended 2 h ago".
pub(in crate::screens) fn remaining(ends: f64, state: ProposalState, now: f64) -> String {
    match state {
        ProposalState::Active if ends > now => format!("{} left", format::countdown(ends - now)),
        ProposalState::Active => "counting".into(),
        ProposalState::Draft => "not open yet".into(),
        _ => format!("ended {}", format::relative(ends, now)),
    }
}

#[component]
fn Item(proposal: ArcRwSignal<ProposalView>) -> impl IntoView {
    let proposal = RwSignal::from(proposal);
    let (id, title, kind) =
        proposal.with_untracked(|p| (p.id.clone(), p.title.clone(), words::kind(p.kind).0));
    let state = Memo::new(move |_| proposal.with(|p| p.state));
    let left = Memo::new(move |_| {
        let now = store().now.get();
        proposal.with(|p| remaining(p.ends, p.state, now))
    });
    let mine = Memo::new(move |_| proposal.with(|p| p.my_vote));
    let waits = Memo::new(move |_| {
        proposal.with(|p| p.my_vote.is_none() && p.my_power.0 > 0 && p.state == ProposalState::Active)
    });
    view! {
        <li>
            <a class="row link" href=Route::Proposal(id).href() data-testid="proposal">
                <span class="row-main">
                    <span class="row-title">{title}</span>
                    <span class="row-sub">
                        {kind} " · " <span class="tabular">{move || left.get()}</span>
                        {move || mine.get().map(|v| format!(" · you voted {}", words::choice(v).0.to_lowercase()))}
                        {move || waits.get().then(|| view! { " · " <strong class="accent">"your vote is open"</strong> })}
                    </span>
                    <Meter
                        label="Turnout, with the quorum marked"
                        share=Signal::derive(move || proposal.with(|p| Standing::of(&p.tally).turnout))
                        mark=Signal::derive(move || Some(proposal.with(|p| f64::from(p.tally.quorum_percent) / 100.0)))
                    />
                </span>
                <Badge
                    text=Signal::derive(move || words::proposal(state.get()).0.to_owned())
                    tone=Signal::derive(move || words::proposal(state.get()).1)
                    testid="proposal-state"
                />
                <Icon glyph=Glyph::Next />
            </a>
        </li>
    }
    .into_any()
}
