//! What the node said last, in signals: lists whose rows are signals keyed by id, and single values.
//!
//! An event changes one row, and only what shows that row is drawn again.

use crate::core_link::call;
use fog_api::*;
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::cmp::Ordering;

/// How far the reading of something is. What was read before stays visible while it is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nobody asked for it yet.
    Idle,
    /// The first reading is under way.
    Loading,
    /// Read.
    Ready,
    /// It could not be read, and there is nothing older to show.
    Failed(String),
}

/// Something with an id and a place among its kind.
pub(crate) trait Item: Clone + Send + Sync + 'static {
    fn id(&self) -> &str;
    /// The order in which the list is shown.
    fn order(&self, other: &Self) -> Ordering;
    /// Whether this is older than what is known already: a reply may be overtaken by events.
    fn outdated_by(&self, _known: &Self) -> bool {
        false
    }
}

/// One row of a list.
#[derive(Clone)]
pub(crate) struct Row<T: 'static> {
    pub(crate) id: String,
    pub(crate) value: ArcRwSignal<T>,
}

/// A list of rows, kept in order. A handle: copies show the same list. Made once, under the page's own owner.
pub(crate) struct Keyed<T: 'static> {
    pub(crate) load: RwSignal<Load>,
    pub(crate) rows: RwSignal<Vec<Row<T>>>,
    /// Rises with every change that an event made.
    changes: StoredValue<u64>,
}

impl<T> Clone for Keyed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Keyed<T> {}

impl<T: Item> Keyed<T> {
    pub(crate) fn new() -> Self {
        Self {
            load: RwSignal::new(Load::Idle),
            rows: RwSignal::new(Vec::new()),
            changes: StoredValue::new(0),
        }
    }

    /// Reads the list once; afterwards events keep it true.
    pub(crate) fn ensure<R: Request<Reply = Vec<T>> + Clone + 'static>(self, request: R) {
        if self.load.get_untracked() == Load::Idle {
            self.read(request);
        }
    }

    /// Reads the list anew, if anybody ever asked for it.
    pub(crate) fn refresh<R: Request<Reply = Vec<T>> + Clone + 'static>(self, request: R) {
        if self.load.get_untracked() != Load::Idle {
            self.read(request);
        }
    }

    /// Reads the list.
    pub(crate) fn read<R: Request<Reply = Vec<T>> + Clone + 'static>(self, request: R) {
        self.read_with(request, |list, items| list.replace(items));
    }

    /// Reads a part of the list; `take` says what becomes of it.
    pub(crate) fn read_with<R: Request<Reply = Vec<T>> + Clone + 'static>(
        self,
        request: R,
        take: impl Fn(Self, Vec<T>) + 'static,
    ) {
        if self.load.get_untracked() != Load::Ready {
            self.load.set(Load::Loading);
        }
        spawn_local(async move {
            for last_try in [false, false, true] {
                let before = self.changes.get_value();
                let reply = call(request.clone()).await;
                // An event that overtook the reply knows better than the reply does: ask again.
                if self.changes.get_value() != before && !last_try {
                    continue;
                }
                match reply {
                    Ok(items) => {
                        take(self, items);
                        self.load.set(Load::Ready);
                    }
                    Err(error) => failed(self.load, error),
                }
                break;
            }
        });
    }

    /// Replaces everything. Rows that stay keep their signals.
    pub(crate) fn replace(self, items: Vec<T>) {
        let old = self.rows.get_untracked();
        let mut rows: Vec<Row<T>> = items
            .into_iter()
            .map(|item| match old.iter().find(|r| r.id == item.id()) {
                Some(row) => {
                    row.value.set(item);
                    row.clone()
                }
                None => row(item),
            })
            .collect();
        sort(&mut rows);
        self.rows.set(rows);
    }

    /// An event or a reply: adds an item or changes the row that has its id, unless more is known already.
    pub(crate) fn put(self, item: T) {
        let known = self.row(item.id());
        if known.is_some_and(|known| known.value.with_untracked(|old| item.outdated_by(old))) {
            self.changes.update_value(|n| *n += 1);
            return;
        }
        self.put_newer(item);
    }

    /// The row with this id. Not reactive.
    pub(crate) fn row(self, id: &str) -> Option<Row<T>> {
        self.rows.with_untracked(|rows| rows.iter().find(|r| r.id == id).cloned())
    }

    /// The same for what is newer than all that is known, whatever it says.
    pub(crate) fn put_newer(self, item: T) {
        self.changes.update_value(|n| *n += 1);
        let Some(known) = self.row(item.id()) else {
            self.rows.update(|rows| {
                rows.push(row(item));
                sort(rows);
            });
            return;
        };
        known.value.set(item);
        // Moving rows is rare, so the list itself changes only when it must.
        let ordered =
            self.rows.with_untracked(|rows| rows.is_sorted_by(|a, b| order(a, b) != Ordering::Greater));
        if !ordered {
            self.rows.update(sort);
        }
    }

    /// Adds many at once, such as an older page of a conversation.
    pub(crate) fn merge(self, items: Vec<T>) {
        self.rows.update(|rows| {
            for item in items {
                match rows.iter().find(|r| r.id == item.id()) {
                    Some(row) => row.value.set(item),
                    None => rows.push(row(item)),
                }
            }
            sort(rows);
        });
    }

    /// The row with an id. Reactive: it is there as soon as the row is.
    pub(crate) fn find(self, id: &str) -> Option<ArcRwSignal<T>> {
        self.rows.with(|rows| rows.iter().find(|r| r.id == id).map(|r| r.value.clone()))
    }

    /// All values. Reactive on every row.
    pub(crate) fn values(self) -> Vec<T> {
        self.rows.with(|rows| rows.iter().map(|r| r.value.get()).collect())
    }

    /// True while the list has no rows. Reactive.
    pub(crate) fn is_empty(self) -> bool {
        self.rows.with(Vec::is_empty)
    }
}

/// A failed reading is shown only where there is nothing older to show.
fn failed(load: RwSignal<Load>, error: ApiError) {
    if load.get_untracked() != Load::Ready {
        load.set(Load::Failed(error.message));
    }
}

fn order<T: Item>(a: &Row<T>, b: &Row<T>) -> Ordering {
    a.value.with_untracked(|a| b.value.with_untracked(|b| a.order(b)))
}

fn row<T: Item>(item: T) -> Row<T> {
    Row { id: item.id().to_owned(), value: ArcRwSignal::new(item) }
}

fn sort<T: Item>(rows: &mut Vec<Row<T>>) {
    let order = sorted(rows.len(), &|a, b| order(&rows[a], &rows[b]));
    *rows = order.into_iter().map(|i| rows[i].clone()).collect();
}

/// The order of `n` things. Not generic, so that the sorting itself is in the module once.
fn sorted(n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

/// A single value that is read as a whole. A handle, as [`Keyed`] is.
pub(crate) struct Single<T: 'static> {
    pub(crate) load: RwSignal<Load>,
    pub(crate) value: RwSignal<Option<T>>,
    changes: StoredValue<u64>,
}

impl<T> Clone for Single<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Single<T> {}

impl<T: Clone + Send + Sync + 'static> Single<T> {
    pub(crate) fn new() -> Self {
        Self { load: RwSignal::new(Load::Idle), value: RwSignal::new(None), changes: StoredValue::new(0) }
    }

    /// Reads the value once; afterwards events keep it true.
    pub(crate) fn ensure<R: Request<Reply = T> + Clone + 'static>(self, request: R) {
        if self.load.get_untracked() == Load::Idle {
            self.read(request);
        }
    }

    /// Reads the value anew, if anybody ever asked for it.
    pub(crate) fn refresh<R: Request<Reply = T> + Clone + 'static>(self, request: R) {
        if self.load.get_untracked() != Load::Idle {
            self.read(request);
        }
    }

    /// Reads the value.
    pub(crate) fn read<R: Request<Reply = T> + Clone + 'static>(self, request: R) {
        if self.load.get_untracked() != Load::Ready {
            self.load.set(Load::Loading);
        }
        spawn_local(async move {
            let before = self.changes.get_value();
            match call(request).await {
                // An event that overtook the reply brought the whole value, and a newer one.
                Ok(_) if self.changes.get_value() != before => {}
                Ok(value) => self.put(value),
                Err(error) => failed(self.load, error),
            }
        });
    }

    /// An event or a reply brought the value.
    pub(crate) fn put(self, value: T) {
        self.changes.update_value(|n| *n += 1);
        self.value.set(Some(value));
        self.load.set(Load::Ready);
    }

    /// A part of the value, or something else while there is none. Reactive.
    pub(crate) fn part<R>(self, part: impl FnOnce(&T) -> R, otherwise: R) -> R {
        self.value.with(|v| v.as_ref().map(part)).unwrap_or(otherwise)
    }
}

/// The newest comes first; the id decides between equals, so that rows never jump.
fn newest_first(a: (f64, &str), b: (f64, &str)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1))
}

impl Item for Contact {
    fn id(&self) -> &str {
        &self.id
    }
    fn order(&self, other: &Self) -> Ordering {
        let active = |c: &Self| c.last_time.or(c.last_seen).unwrap_or_default();
        newest_first((active(self), &self.id), (active(other), &other.id))
    }
}

impl Item for Message {
    fn id(&self) -> &str {
        &self.id
    }
    fn order(&self, other: &Self) -> Ordering {
        self.time.total_cmp(&other.time).then_with(|| self.id.cmp(&other.id))
    }
    fn outdated_by(&self, known: &Self) -> bool {
        // A message only moves on; "failed" alone may be left again, by a later success.
        self.status < known.status && known.status != MessageStatus::Failed
    }
}

impl Item for JobView {
    fn id(&self) -> &str {
        &self.id
    }
    fn outdated_by(&self, known: &Self) -> bool {
        known.state.is_final() && !self.state.is_final()
    }
    fn order(&self, other: &Self) -> Ordering {
        // Elements of one array stand in their order.
        match (self.index, other.index) {
            (Some(a), Some(b)) if self.parent == other.parent => a.cmp(&b),
            _ => newest_first((self.created, &self.id), (other.created, &other.id)),
        }
    }
}

impl Item for ProposalView {
    fn id(&self) -> &str {
        &self.id
    }
    fn order(&self, other: &Self) -> Ordering {
        newest_first((self.created, &self.id), (other.created, &other.id))
    }
}
