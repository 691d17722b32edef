//! The account: balance, what is held, what was earned, and every entry of the journal.

use crate::browser;
use crate::components::{Ago, Bars, Card, Empty, Fact, Glyph, Loaded, Page};
use crate::format;
use crate::route::Route;
use crate::store::store;
use fog_api::{Amount, EntryView, GetWallet, WalletView};
use leptos::prelude::*;

/// The wallet.
#[component]
pub(crate) fn Earnings() -> impl IntoView {
    let wallet = store().wallet;
    wallet.ensure(GetWallet {});
    view! {
        <Page title="Earnings" testid="earnings">
            <Loaded load=wallet.load retry=move |()| wallet.read(GetWallet {}) lines=6>
                <Account />
                <Journal />
            </Loaded>
        </Page>
    }
    .into_any()
}

#[component]
fn Account() -> impl IntoView {
    let wallet = store().wallet;
    let amount = move |f: fn(&WalletView) -> Amount| {
        Signal::derive(move || wallet.part(|w| format::fog(f(w)), String::new()))
    };
    let days = Signal::derive(move || wallet.part(|w| w.earned_by_day.clone(), Vec::new()));
    let bars = Signal::derive(move || {
        let days = days.get();
        let last = days.len();
        let bar = |(i, amount): (usize, Amount)| {
            let day = browser::day(browser::now() - (last - 1 - i) as f64 * 86_400.0);
            (amount.0 as f64, format!("{day}: {}", format::fog(amount)))
        };
        days.into_iter().enumerate().map(bar).collect::<Vec<_>>()
    });
    let sum = Signal::derive(move || Amount(days.get().iter().map(|a| a.0).sum()));
    view! {
        <div class="columns">
            <Card class="balance">
                <p class="figure-label">"Balance"</p>
                <p class="figure" data-testid="balance">{amount(|w| w.balance)}</p>
                <dl class="facts">
                    <Fact label="Held in escrow" value=amount(|w| w.escrow) testid="escrow" />
                    <Fact label="Earned in all" value=amount(|w| w.earned) testid="earned" />
                    <Fact label="Spent in all" value=amount(|w| w.spent) testid="spent" />
                </dl>
            </Card>
            <Card>
                <p class="figure-label">"Earned in the last 14 days"</p>
                <p class="figure small">{move || format::fog(sum.get())}</p>
                <Bars
                    bars
                    label=Signal::derive(move || {
                        format!("Earned a day over the last 14 days, {} in all", format::fog(sum.get()))
                    })
                />
                <p class="axis"><span>{browser::day(browser::now() - 13.0 * 86_400.0)}</span><span>"today"</span></p>
            </Card>
        </div>
    }
    .into_any()
}

#[component]
fn Journal() -> impl IntoView {
    let wallet = store().wallet;
    let entries = Memo::new(move |_| wallet.part(|w| w.entries.len(), 0));
    view! {
        <Card title="Journal">
            <Show
                when=move || { entries.get() > 0 }
                fallback=|| {
                    view! {
                        <Empty
                            glyph=Glyph::Earnings
                            title="No entries yet"
                            text="Whatever your account receives or pays is written here: for jobs that ran on this device, for jobs you sent, for votes."
                        />
                    }
                }
            >
                <ul class="rows" data-testid="journal">
                    <For
                        each=move || wallet.part(|w| w.entries.clone(), Vec::new())
                        key=|entry| entry.id.clone()
                        children=|entry| view! { <Entry entry /> }
                    />
                </ul>
            </Show>
        </Card>
    }
    .into_any()
}

#[component]
fn Entry(entry: EntryView) -> impl IntoView {
    let sign = if entry.credit { "+" } else { "−" };
    let exact = format!("{sign}{} FOG", entry.amount.exact());
    view! {
        <li class="row" data-testid="journal-entry">
            <span class="row-main">
                <span class="row-title">{entry.memo}</span>
                <span class="row-sub">
                    <Ago time=entry.time />
                    {entry
                        .job
                        .map(|job| view! { <a href=Route::Job(job).href()>"See the job"</a> })}
                </span>
            </span>
            <span class="amount" class:credit=entry.credit title=exact>
                {format!("{sign}{}", format::fog(entry.amount))}
            </span>
        </li>
    }
    .into_any()
}
