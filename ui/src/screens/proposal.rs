//! One proposal: its text, the count, the rules that decide it, and the vote.

use crate::components::{Ago, Avatar, Badge, Card, Empty, Glyph, Loaded, Meter, Notice, Page};
use crate::format;
use crate::route::Route;
use crate::screens::governance::remaining;
use crate::store::store;
use crate::words::{self, Standing, Tone};
use fog_api::{Amount, CastVote, ListProposals, ProposalState, ProposalView, Tally, VoteChoice, VoteView};
use leptos::prelude::*;

/// A proposal by its id.
#[component]
pub(crate) fn Proposal(id: String) -> impl IntoView {
    let proposals = store().proposals;
    proposals.ensure(ListProposals {});
    let row = Memo::new(move |_| Found(proposals.find(&id)));
    let title = Signal::derive(move || {
        row.get().0.map_or_else(|| "Proposal".to_owned(), |p| p.with(|p| p.title.clone()))
    });
    view! {
        <Page title back=Route::Governance testid="proposal-detail">
            <Loaded load=proposals.load retry=move |()| proposals.read(ListProposals {}) lines=6>
                {move || match row.get().0 {
                    Some(proposal) => view! { <Detail proposal=RwSignal::from(proposal) /> }.into_any(),
                    None => view! {
                        <Empty
                            glyph=Glyph::Governance
                            title="No such proposal"
                            text="This node does not know a proposal with this id."
                        />
                    }
                    .into_any(),
                }}
            </Loaded>
        </Page>
    }
    .into_any()
}

/// The row of a proposal; equal while it is the same row, whatever it holds.
#[derive(Clone)]
struct Found(Option<ArcRwSignal<ProposalView>>);

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}

#[component]
fn Detail(proposal: RwSignal<ProposalView>) -> impl IntoView {
    let (kind, body, proposer, proposer_name, created) = proposal.with_untracked(|p| {
        (words::kind(p.kind).0, p.body.clone(), p.proposer.clone(), p.proposer_name.clone(), p.created)
    });
    let state = Memo::new(move |_| proposal.with(|p| p.state));
    let left = Memo::new(move |_| {
        let now = store().now.get();
        proposal.with(|p| remaining(p.ends, p.state, now))
    });
    let name = proposer_name.clone();
    view! {
        <div class="columns wide-first">
            <div class="column">
                <Card>
                    <div class="headline">
                        <Badge
                            text=Signal::derive(move || words::proposal(state.get()).0.to_owned())
                            tone=Signal::derive(move || words::proposal(state.get()).1)
                            testid="proposal-detail-state"
                        />
                        <span class="tag">{kind}</span>
                        <span class="hint tabular" data-testid="countdown">{move || left.get()}</span>
                    </div>
                    <p class="by">
                        <Avatar name=Signal::stored(proposer_name) id=proposer />
                        <span>"Opened by " {name} " " <Ago time=created /></span>
                    </p>
                    {if body.trim().is_empty() {
                        view! { <p class="hint">"The proposal has no text beyond its title."</p> }.into_any()
                    } else {
                        view! { <p class="prose" data-testid="proposal-text">{body}</p> }.into_any()
                    }}
                </Card>
                <Votes proposal />
            </div>
            <div class="column">
                <Ballot proposal state />
                <Count proposal />
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn Ballot(proposal: RwSignal<ProposalView>, state: Memo<ProposalState>) -> impl IntoView {
    let store = store();
    let power = Memo::new(move |_| proposal.with(|p| p.my_power));
    let mine = Memo::new(move |_| proposal.with(|p| p.my_vote));
    let over = Memo::new(move |_| {
        state.get() != ProposalState::Active || proposal.with(|p| p.ends) <= store.now.get()
    });
    // The choice that is on its way, so that a press shows at once.
    let sending = RwSignal::new(None::<VoteChoice>);
    let vote = move |choice: VoteChoice| {
        sending.set(Some(choice));
        let id = proposal.with_untracked(|p| p.id.clone());
        leptos::task::spawn_local(async move {
            match crate::core_link::call(CastVote { proposal: id, choice }).await {
                Ok(view) => store.proposals.put(view),
                Err(error) => store.complain(&error),
            }
            sending.set(None);
        });
    };
    let button = move |choice: VoteChoice, testid: &'static str| {
        let (label, tone) = words::choice(choice);
        let pressed = move || sending.get().or(mine.get()) == Some(choice);
        view! {
            <button
                type="button"
                class=format!("vote {}", tone.class())
                aria-pressed=move || if pressed() { "true" } else { "false" }
                disabled=move || over.get() || power.get().0 == 0 || sending.get().is_some()
                data-testid=testid
                on:click=move |_| vote(choice)
            >
                {label}
            </button>
        }
    };
    let say = move || match (over.get(), power.get(), mine.get()) {
        (false, Amount(0), _) => "You held no FOG when this was opened, so you cannot vote on it.".to_owned(),
        (false, power, None) => format!("Your vote weighs {}.", format::fog(power)),
        (false, power, Some(v)) => format!(
            "You voted {} with {}. You can change it until voting ends.",
            words::choice(v).0.to_lowercase(),
            format::fog(power)
        ),
        (true, _, Some(v)) => format!("Voting is over. You voted {}.", words::choice(v).0.to_lowercase()),
        (true, _, None) => "Voting is over. You did not vote.".to_owned(),
    };
    view! {
        <Card title="Your vote">
            <Show when=move || !over.get()>
                <div class="votes-row" role="group" aria-label="Your vote">
                    {button(VoteChoice::Yes, "vote-yes")}
                    {button(VoteChoice::No, "vote-no")}
                    {button(VoteChoice::Abstain, "vote-abstain")}
                </div>
            </Show>
            <p class="hint" data-testid="my-vote">{say}</p>
        </Card>
    }
    .into_any()
}

#[component]
fn Count(proposal: RwSignal<ProposalView>) -> impl IntoView {
    let tally = Memo::new(move |_| proposal.with(|p| p.tally.clone()));
    let standing = Memo::new(move |_| tally.with(Standing::of));
    let voted = move |t: &Tally| t.yes.0.saturating_add(t.no.0).saturating_add(t.abstain.0);
    let bar = move |label: &'static str, tone: Tone, of: fn(&Tally) -> Amount, testid: &'static str| {
        let share = Signal::derive(move || tally.with(|t| format::share(of(t), Amount(voted(t)))));
        view! {
            <div class="tally">
                <span class="tally-label">{label}</span>
                <span class="tally-value" data-testid=testid>{move || format::fog(tally.with(of))}</span>
                <Meter label share tone />
            </div>
        }
    };
    let quorum = move || {
        let s = standing.get();
        let needed = tally.with(|t| t.quorum_percent);
        let reached = if s.quorum { "reached" } else { "not reached yet" };
        format!(
            "{} of all voting power has voted; {needed} % is needed: {reached}.",
            format::percent_exact(s.turnout)
        )
    };
    let approval = move || {
        let s = standing.get();
        let needed = tally.with(|t| t.approval_percent);
        match s.approval {
            None => format!("Nobody has voted for or against. {needed} % of those who do must be for it."),
            Some(share) => format!(
                "{} of those for or against are for it; {needed} % is needed: {}.",
                format::percent_exact(share),
                if s.approved { "reached" } else { "not reached" }
            ),
        }
    };
    view! {
        <Card title="Count" testid="tally">
            {bar("For", Tone::Good, |t| t.yes, "tally-yes")}
            {bar("Against", Tone::Bad, |t| t.no, "tally-no")}
            {bar("Abstain", Tone::Calm, |t| t.abstain, "tally-abstain")}
            <div class="rule">
                <h3>"Quorum"</h3>
                <Meter
                    label="Turnout, with the quorum marked"
                    share=Signal::derive(move || standing.get().turnout)
                    mark=Signal::derive(move || Some(f64::from(tally.with(|t| t.quorum_percent)) / 100.0))
                />
                <p class="hint" data-testid="quorum">{quorum}</p>
            </div>
            <div class="rule">
                <h3>"Approval"</h3>
                <Meter
                    label="Share for it, with the needed share marked"
                    share=Signal::derive(move || standing.get().approval.unwrap_or_default())
                    mark=Signal::derive(move || Some(f64::from(tally.with(|t| t.approval_percent)) / 100.0))
                />
                <p class="hint" data-testid="approval">{approval}</p>
            </div>
            <Notice tone=Tone::Calm text="Abstaining counts for the quorum and for neither side." />
        </Card>
    }
    .into_any()
}

#[component]
fn Votes(proposal: RwSignal<ProposalView>) -> impl IntoView {
    let votes = move || proposal.with(|p| p.votes.clone());
    let none = Memo::new(move |_| proposal.with(|p| p.votes.is_empty()));
    let row = |vote: VoteView| {
        let (text, tone) = words::choice(vote.choice);
        view! {
            <li class="row" data-testid="vote">
                <Avatar name=Signal::stored(vote.name.clone()) id=vote.voter />
                <span class="row-main">
                    <span class="row-title">{vote.name}</span>
                    <span class="row-sub"><Ago time=vote.time /> " · " {format::fog(vote.power)}</span>
                </span>
                <Badge text=text.to_owned() tone />
            </li>
        }
    };
    view! {
        <Card title="Votes">
            <Show when=move || !none.get() fallback=|| view! { <p class="hint">"Nobody has voted yet."</p> }>
                <ul class="rows">
                    <For
                        each=votes
                        key=|v| (v.voter.clone(), v.time.to_bits(), v.choice as u8)
                        children=row
                    />
                </ul>
            </Show>
        </Card>
    }
    .into_any()
}
