//! The page's memory: what the node said last, and what the page itself is at.
//!
//! There is one store for one page. It is made once, under the root's owner, and lives as long as the page does;
//! [`store`] hands out copies of the handle anywhere, also in code that waits for a reply.

use crate::browser;
use crate::core_link::{self, News, call};
use crate::files::Given;
use crate::keyed::{Keyed, Single};
use crate::route::Route;
use crate::words::Tone;
use fog_api::*;
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::cell::Cell;
use std::collections::HashMap;

/// Messages read at a time.
pub(crate) const PAGE: u32 = 100;
/// Conversations that are read for showing their messages elsewhere.
const RECENT: usize = 5;
/// A toast that reports a success goes away by itself after this long, milliseconds.
const TOAST_TIME: i32 = 6_000;

thread_local! {
    static STORE: Cell<Option<Store>> = const { Cell::new(None) };
}

/// The store. Only [`crate::app`] runs before it is made.
#[allow(clippy::expect_used, reason = "the page makes the store before anything asks for it")]
pub(crate) fn store() -> Store {
    STORE.get().expect("the store is made first")
}

/// How far this page is with the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Session {
    /// Asking.
    Starting,
    /// The node does not know this page: it needs the address with the token.
    Unknown,
    /// The node does not answer, and has not yet since the page was opened.
    Unreachable(String),
    /// The node answered.
    Open,
}

/// A short message at the edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Toast {
    pub(crate) id: u32,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// A conversation as far as it was read.
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    pub(crate) messages: Keyed<Message>,
    /// There may be older messages than the oldest here.
    pub(crate) more: RwSignal<bool>,
    /// What is being written; kept while the user looks elsewhere.
    pub(crate) draft: RwSignal<String>,
}

/// Handles to all that the page remembers.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    pub(crate) session: RwSignal<Session>,
    /// The stream of events is open.
    pub(crate) linked: RwSignal<bool>,
    pub(crate) route: RwSignal<Route>,
    /// This device's clock, ticking every second while the page can be seen.
    pub(crate) now: RwSignal<f64>,
    /// A person looks at the page and its keyboard is here.
    pub(crate) focused: RwSignal<bool>,
    pub(crate) app: RwSignal<Option<AppState>>,
    pub(crate) overview: Single<Overview>,
    pub(crate) contacts: Keyed<Contact>,
    pub(crate) network: Single<NetworkView>,
    pub(crate) harvest: Single<HarvestView>,
    pub(crate) jobs: Keyed<JobView>,
    /// Elements of the array that was looked at last, and other jobs that are in no list.
    pub(crate) elements: Keyed<JobView>,
    /// What a job wrote last.
    pub(crate) job_log: RwSignal<Option<JobLogPart>>,
    /// Rises when events may have been missed.
    pub(crate) missed: RwSignal<u32>,
    /// Files that were dropped for a new job, until the form takes them.
    pub(crate) handed: RwSignal<Vec<Given>, LocalStorage>,
    pub(crate) wallet: Single<WalletView>,
    pub(crate) proposals: Keyed<ProposalView>,
    pub(crate) settings: Single<Settings>,
    pub(crate) toasts: RwSignal<Vec<Toast>>,
    threads: RwSignal<HashMap<PeerId, Thread>>,
    owner: StoredValue<Owner>,
    last_event: StoredValue<Option<u64>>,
    overview_due: StoredValue<bool>,
    toast_count: StoredValue<u32>,
}

impl Store {
    /// Makes the store, opens the session and starts to listen.
    pub(crate) fn start(owner: Owner, route: Route) -> Self {
        let store = Self {
            session: RwSignal::new(Session::Starting),
            linked: RwSignal::new(true),
            route: RwSignal::new(route),
            now: RwSignal::new(browser::now()),
            focused: RwSignal::new(browser::in_focus()),
            app: RwSignal::new(None),
            overview: Single::new(),
            contacts: Keyed::new(),
            network: Single::new(),
            harvest: Single::new(),
            jobs: Keyed::new(),
            elements: Keyed::new(),
            job_log: RwSignal::new(None),
            missed: RwSignal::new(0),
            handed: RwSignal::new_local(Vec::new()),
            wallet: Single::new(),
            proposals: Keyed::new(),
            settings: Single::new(),
            toasts: RwSignal::new(Vec::new()),
            threads: RwSignal::new(HashMap::new()),
            owner: StoredValue::new(owner),
            last_event: StoredValue::new(None),
            overview_due: StoredValue::new(false),
            toast_count: StoredValue::new(0),
        };
        STORE.set(Some(store));
        spawn_local(async move {
            if let Err(error) = core_link::open_session().await {
                store.refused(&error);
            }
            store.read_state().await;
            core_link::listen(move |news| store.hear(news));
        });
        store
    }

    /// Asks the node how far it is.
    pub(crate) async fn read_state(self) {
        match call(GetState {}).await {
            Ok(state) => {
                self.session.set(Session::Open);
                self.set_app(state);
            }
            Err(error) => self.refused(&error),
        }
    }

    fn refused(self, error: &ApiError) {
        if core_link::is_unauthorised(error) {
            self.session.set(Session::Unknown);
        } else if self.app.with_untracked(Option::is_none) {
            self.session.set(Session::Unreachable(error.message.clone()));
        }
    }

    /// Takes over a new state of the node; when it became ready, reads what the frame shows.
    pub(crate) fn set_app(self, state: AppState) {
        let ready = state.phase == Phase::Ready;
        let was_ready = self.app.with_untracked(|a| a.as_ref().is_some_and(|a| a.phase == Phase::Ready));
        if self.app.with_untracked(|a| a.as_ref() != Some(&state)) {
            self.app.set(Some(state));
        }
        if ready && !was_ready {
            self.contacts.read(ListContacts {});
            self.proposals.read(ListProposals {});
            self.overview.refresh(GetOverview {});
        }
    }

    fn hear(self, news: News) {
        match news {
            News::Open => {
                self.linked.set(true);
                self.last_event.set_value(None);
                self.read_everything();
            }
            News::Lost => {
                self.linked.set(false);
                // The stream itself does not say why it broke; an answer to a plain question does.
                spawn_local(async move { self.read_state().await });
            }
            News::Event(event) => self.apply(*event),
        }
    }

    fn apply(self, event: Event) {
        if matches!(event.body, EventBody::Resync) {
            // Whatever its number: the next event begins a new count.
            self.last_event.set_value(None);
            self.read_everything();
            return;
        }
        let last = self.last_event.get_value();
        self.last_event.set_value(Some(event.seq));
        if last.is_some_and(|last| event.seq != last + 1) {
            self.read_everything();
        }
        match event.body {
            EventBody::State(state) => self.set_app(state),
            EventBody::Contact(contact) => self.contacts.put(contact),
            EventBody::Message(message) => self.put_message(message),
            EventBody::Network(network) => self.network.put(network),
            EventBody::Harvest(harvest) => self.harvest.put(*harvest),
            EventBody::Job(job) => self.hear_job(*job),
            EventBody::Wallet(wallet) => self.wallet.put(wallet),
            EventBody::Proposal(proposal) => self.proposals.put(proposal),
            EventBody::Notice(notice) => self.notice(&notice),
            // A part that is overtaken before it was seen is asked for again by its place.
            EventBody::JobLog(part) => self.job_log.set(Some(part)),
            EventBody::Worker(_) | EventBody::Resync => {}
        }
        self.overview_soon();
    }

    /// Events are told in order, so the last one is the newest: a job that had failed may have been tried again.
    fn hear_job(self, job: JobView) {
        if self.elements.row(&job.id).is_some() {
            self.elements.put_newer(job);
        } else if job.parent.is_none() {
            self.jobs.put_newer(job);
        }
    }

    /// A reply that brings a job: into the list that it belongs to.
    pub(crate) fn put_job(self, job: JobView) {
        if job.parent.is_some() || self.elements.row(&job.id).is_some() {
            self.elements.put(job);
        } else {
            self.jobs.put(job);
        }
    }

    /// The overview has no event of its own, so it is read again shortly after anything happened, while it shows.
    fn overview_soon(self) {
        let shows = self.route.with_untracked(|r| *r == Route::Overview);
        if !shows || self.overview_due.get_value() {
            return;
        }
        self.overview_due.set_value(true);
        spawn_local(async move {
            browser::sleep(700).await;
            self.overview_due.set_value(false);
            self.overview.refresh(GetOverview {});
        });
    }

    /// Reads again all that was ever read: after a break nobody knows what was missed.
    fn read_everything(self) {
        spawn_local(async move { self.read_state().await });
        self.overview.refresh(GetOverview {});
        self.contacts.refresh(ListContacts {});
        self.network.refresh(GetNetwork {});
        self.harvest.refresh(GetHarvest {});
        self.jobs.refresh(ListJobs {});
        self.missed.update(|n| *n += 1);
        self.wallet.refresh(GetWallet {});
        self.proposals.refresh(ListProposals {});
        self.settings.refresh(GetSettings {});
        for (peer, thread) in self.threads.get_untracked() {
            let request = ListMessages { peer, before: None, limit: PAGE };
            thread.messages.read_with(request, Keyed::merge);
        }
    }

    /// The conversation with somebody; read when it is asked for the first time.
    pub(crate) fn thread(self, peer: &str) -> Thread {
        if let Some(thread) = self.threads.with_untracked(|t| t.get(peer).copied()) {
            return thread;
        }
        // Under the page's owner, so that it outlives the screen that asked.
        let thread = self.owner.get_value().with(|| Thread {
            messages: Keyed::new(),
            more: RwSignal::new(false),
            draft: RwSignal::new(String::new()),
        });
        self.threads.update(|t| {
            t.insert(peer.to_owned(), thread);
        });
        self.read_thread(peer);
        thread
    }

    /// Reads the newest messages of a conversation.
    pub(crate) fn read_thread(self, peer: &str) {
        let thread = self.thread(peer);
        let request = ListMessages { peer: peer.to_owned(), before: None, limit: PAGE };
        thread.messages.read_with(request, move |list, items| {
            thread.more.set(items.len() == PAGE as usize);
            list.merge(items);
        });
    }

    /// A message is new or moved on. Conversations that nobody opened are left alone: opening reads them.
    pub(crate) fn put_message(self, message: Message) {
        if let Some(thread) = self.threads.with_untracked(|t| t.get(&message.peer).copied()) {
            thread.messages.put(message);
        }
    }

    /// Reads the conversations that were active last, so that their messages can be shown elsewhere too.
    pub(crate) fn open_recent(self) {
        Effect::new(move |_| {
            let contacts = self.contacts.values();
            let active =
                contacts.iter().filter(|c| c.state == ContactState::Accepted && c.last_time.is_some());
            for contact in active.take(RECENT) {
                self.thread(&contact.id);
            }
        });
    }

    /// My own messages of the conversations read so far, each with the name of whom it is for. Reactive.
    pub(crate) fn sent_messages(self) -> Vec<(String, Message)> {
        let contacts = self.contacts.values();
        let threads = self.threads.get();
        let mut sent = Vec::new();
        for (peer, thread) in &threads {
            let name = contacts.iter().find(|c| c.id == *peer).map(|c| c.name.clone()).unwrap_or_default();
            let mine = thread.messages.values().into_iter().filter(|m| m.outgoing);
            sent.extend(mine.map(|m| (name.clone(), m)));
        }
        sent
    }

    /// Shows a short message.
    pub(crate) fn toast(self, tone: Tone, text: impl Into<String>) {
        let id = self.toast_count.get_value();
        self.toast_count.set_value(id + 1);
        let text = text.into();
        self.toasts.update(|toasts| {
            // The same complaint twice says nothing new.
            toasts.retain(|t| t.text != text);
            toasts.push(Toast { id, tone, text });
        });
        if tone != Tone::Bad {
            spawn_local(async move {
                browser::sleep(TOAST_TIME).await;
                self.dismiss(id);
            });
        }
    }

    /// Says that a command was refused.
    pub(crate) fn complain(self, error: &ApiError) {
        self.refused(error);
        self.toast(Tone::Bad, error.message.clone());
    }

    pub(crate) fn dismiss(self, id: u32) {
        self.toasts.update(|toasts| toasts.retain(|t| t.id != id));
    }

    fn notice(self, notice: &Notice) {
        let tone = match notice.level {
            NoticeLevel::Info => Tone::Calm,
            NoticeLevel::Warning => Tone::Warn,
            NoticeLevel::Error => Tone::Bad,
        };
        self.toast(tone, notice.text.clone());
    }

    /// Goes to a screen.
    pub(crate) fn go(self, route: &Route) {
        let _ = window().location().set_hash(&route.href());
    }

    /// Sends a command for its effect: `done` gets the reply, a refusal becomes a toast.
    pub(crate) fn act<R: Request + 'static>(self, request: R, done: impl FnOnce(R::Reply) + 'static) {
        spawn_local(async move {
            match call(request).await {
                Ok(reply) => done(reply),
                Err(error) => self.complain(&error),
            }
        });
    }

    /// Changes some settings and leaves the others as the node has them. A refusal goes to `refused`.
    pub(crate) fn change_settings(
        self,
        edit: impl FnOnce(&mut Settings),
        refused: impl FnOnce(ApiError) + 'static,
    ) {
        let Some(mut settings) = self.settings.value.get_untracked() else {
            return refused(ApiError::new(ErrorKind::NotReady, "The settings are not read yet."));
        };
        edit(&mut settings);
        self.send_settings(settings, Box::new(refused));
    }

    /// The part of [`Self::change_settings`] that is the same for all changes, in the module once.
    fn send_settings(self, settings: Settings, refused: Box<dyn FnOnce(ApiError)>) {
        spawn_local(async move {
            match call(SetSettings { settings }).await {
                Ok(settings) => self.settings.put(settings),
                Err(error) => refused(error),
            }
        });
    }

    /// Messages that were received and not read, in all conversations. Reactive.
    pub(crate) fn unread(self) -> u32 {
        let open = |c: Contact| if c.state == ContactState::Blocked { 0 } else { c.unread };
        self.contacts.values().into_iter().map(open).sum()
    }

    /// Proposals that wait for my vote. Reactive.
    pub(crate) fn open_votes(self) -> u32 {
        let open =
            |p: &ProposalView| p.state == ProposalState::Active && p.my_vote.is_none() && p.my_power.0 > 0;
        self.proposals.values().iter().filter(|p| open(p)).count() as u32
    }

    /// My own id; empty before there is one. Reactive.
    pub(crate) fn my_id(self) -> String {
        self.app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.id.clone())).unwrap_or_default()
    }
}
