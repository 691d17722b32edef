//! What a user asks for: order, cancel, try again.

use super::{Action, Engine, EngineError, Result, offer};
use crate::orders::{MAX_ELEMENTS, MAX_NEEDS, Order, OrderId, OrderSpec, State, Target};
use crate::price::price_ceiling;
use crate::store;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An order to make.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// What is ordered.
    pub spec: OrderSpec,
    /// The first and the last index of an array.
    pub array: Option<(u32, u32)>,
    /// Orders to wait for, besides those whose outputs are inputs.
    pub needs: Vec<OrderId>,
}

impl Engine {
    /// Makes an order, and the elements of an array with it. [`Engine::look`] starts it.
    ///
    /// # Errors
    /// [`EngineError`] if a field is out of bounds, the price limit is below what the limits may cost, a blob is not here,
    /// or an order that it needs is not there or has no result.
    pub async fn submit(&self, conn: &mut SqliteConnection, new: NewOrder, now_ms: u64) -> Result<Order> {
        let NewOrder { spec, array, needs } = new;
        let refused = |reason: String| Err(EngineError::Refused(reason));
        spec.validate()?;
        if let Target::Persons(persons) = &spec.target
            && persons.contains(&self.me)
        {
            return refused("a device does not send jobs to itself: order it to run here".into());
        }
        let ceiling = price_ceiling(&spec.limits, spec.class, 0);
        if let Some(limit) = spec.price_limit.filter(|limit| *limit < ceiling && spec.target != Target::Here)
        {
            return refused(format!(
                "the job may cost up to {} FOG within its limits, but pays at most {} FOG",
                offer::fog(ceiling),
                offer::fog(limit)
            ));
        }
        if spec.deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            return refused("its deadline is over already".into());
        }
        for blob in spec.blobs() {
            if !self.blobs.has(&blob.hash) {
                return refused(format!("blob {} is not here: store it first", hex::encode(blob.hash)));
            }
        }
        let count = match array {
            Some((first, last)) if first > last => {
                return refused("an array's last index is below its first".into());
            }
            Some((first, last)) => u64::from(last - first) + 1,
            None => 1,
        };
        if count > u64::from(MAX_ELEMENTS) {
            return refused(format!("an array has at most {MAX_ELEMENTS} elements, not {count}"));
        }
        // Only orders that exist can be needed, and this one does not exist yet: so there is no circle.
        let needs: BTreeSet<OrderId> = needs.into_iter().chain(spec.sources()).collect();
        if needs.len() > MAX_NEEDS {
            return refused(format!("a job waits for at most {MAX_NEEDS} others"));
        }
        for source in spec.sources() {
            if self.order(conn, &source).await?.range.is_some() {
                return refused("an array has no output of its own: name one of its elements".into());
            }
        }
        let mut blocked = false;
        for need in &needs {
            match store::orders::state(conn, need).await?.ok_or(EngineError::UnknownOrder)? {
                State::Completed => {}
                State::Failed | State::Cancelled => {
                    return refused("a job that it needs has no result: try that one again first".into());
                }
                _ => blocked = true,
            }
        }
        let wait = if blocked { "waits for other jobs" } else { "waits for a device" };
        let mut order = Order {
            id: self.draw_id(),
            spec: Arc::new(spec),
            parent: None,
            index: None,
            range: array,
            state: if blocked { State::Blocked } else { State::Pending },
            note: wait.into(),
            copies: 0,
            tries: 0,
            due_ms: if blocked { None } else { Some(now_ms) },
            permille: None,
            checkpoint: None,
            result: None,
            winner: None,
            created_ms: now_ms,
            since_ms: now_ms,
            started_ms: None,
            finished_ms: None,
        };
        order.due_ms = order.due_ms.or(order.spec.deadline_ms);
        let Some((first, last)) = array else {
            store::orders::insert(conn, &order).await?;
            self.insert_needs(conn, &order, &needs).await?;
            return Ok(order);
        };
        let mut element = Order { parent: Some(order.id), range: None, ..order.clone() };
        if !blocked {
            order.state = State::Array;
            order.note.clear();
        }
        order.due_ms = None;
        store::orders::insert(conn, &order).await?;
        self.insert_needs(conn, &order, &needs).await?;
        for index in first..=last {
            element.id = self.draw_id();
            element.index = Some(index);
            store::orders::insert(conn, &element).await?;
        }
        Ok(order)
    }

    async fn insert_needs(
        &self,
        conn: &mut SqliteConnection,
        order: &Order,
        needs: &BTreeSet<OrderId>,
    ) -> Result<()> {
        for need in needs {
            store::needs::insert(conn, &order.id, need).await?;
        }
        Ok(())
    }

    /// Stops an order, with all elements of an array. What another device has done already is paid.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended already.
    pub async fn cancel(
        &self,
        conn: &mut SqliteConnection,
        id: &OrderId,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        let mut order = self.order(conn, id).await?;
        if order.state.is_final() {
            return Err(EngineError::Refused("the job has ended already".into()));
        }
        let note = "cancelled by its sender";
        let mut actions = Vec::new();
        if order.range.is_some() {
            store::orders::cancel_elements(conn, id, note, now_ms).await?;
            for element in store::orders::element_ids(conn, id, State::Blocked, State::Array).await? {
                let element = self.order(conn, &element).await?;
                actions.extend(self.cancel_one(conn, element, note, now_ms).await?);
            }
            order = self.order(conn, id).await?;
            if !order.state.is_final() {
                self.finish(&mut order, State::Cancelled, note, now_ms);
                order.due_ms = None;
                store::orders::update(conn, &order).await?;
                actions.push(Action::Ended { order: *id });
                actions.extend(self.follow(conn, &order, now_ms).await?);
            }
            actions.push(Action::Ordered { order: *id });
            return Ok(actions);
        }
        self.cancel_one(conn, order, note, now_ms).await
    }

    async fn cancel_one(
        &self,
        conn: &mut SqliteConnection,
        mut order: Order,
        note: &str,
        now_ms: u64,
    ) -> Result<Vec<Action>> {
        self.finish(&mut order, State::Cancelled, note, now_ms);
        store::orders::update(conn, &order).await?;
        let mut actions = vec![Action::Ended { order: order.id }];
        actions.extend(self.follow(conn, &order, now_ms).await?);
        actions.extend(self.carry_on(conn, order, None, None, now_ms).await?);
        Ok(actions)
    }

    /// Tries a failed or cancelled order again, from its last checkpoint if there is one; of an array those elements that
    /// have no result.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it is under way or done, its data is gone, or what it needs has no result.
    pub async fn retry(&self, conn: &mut SqliteConnection, id: &OrderId, now_ms: u64) -> Result<Vec<Action>> {
        let mut order = self.order(conn, id).await?;
        let refused = |reason: &str| Err(EngineError::Refused(reason.into()));
        match order.state {
            State::Failed | State::Cancelled => {}
            State::Array if store::orders::any_element(conn, id, State::Failed, State::Cancelled).await? => {}
            State::Completed => return refused("the job is done already"),
            _ => return refused("the job is under way"),
        }
        if order.spec.deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            return refused("its deadline is over: send it again with a later one");
        }
        for blob in order.spec.blobs() {
            if !self.blobs.has(&blob.hash) {
                return refused("its program or inputs are no longer here: send it again");
            }
        }
        if !store::needs::met(conn, id).await? {
            return refused("a job that it needs has no result: try that one again first");
        }
        let mut actions = Vec::new();
        if order.range.is_some() {
            store::orders::retry_elements(conn, id, now_ms).await?;
        }
        if let Some(parent) = order.parent
            && let Some(mut array) = store::orders::get(conn, &parent).await?
        {
            array.state = State::Array;
            array.note.clear();
            array.finished_ms = None;
            store::orders::update(conn, &array).await?;
            actions.push(Action::Ordered { order: parent });
        }
        order.state = if order.range.is_some() { State::Array } else { State::Pending };
        order.note = "tried again".into();
        order.copies = 0;
        order.tries = 0;
        order.since_ms = now_ms;
        order.result = None;
        order.winner = None;
        order.due_ms = order.range.is_none().then_some(now_ms);
        order.finished_ms = None;
        store::orders::update(conn, &order).await?;
        actions.push(Action::Ordered { order: *id });
        Ok(actions)
    }
}
