//! logind: who is logged in with a screen, whether it is locked, and whether the desktop calls it idle.

use super::{Session, Shared, attend, ended, patient};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::Duration;
use zbus::zvariant::{ObjectPath, Value};
use zbus::{Connection, MatchRule, MessageStream, Proxy};

const NAME: &str = "org.freedesktop.login1";
/// Sessions that are looked at; a desktop has one or two.
const MOST: usize = 64;
/// Signals come in bursts.
const SETTLE: Duration = Duration::from_millis(50);

/// Id, user, name, seat, object.
type Entry<'a> = (&'a str, u32, &'a str, &'a str, ObjectPath<'a>);

pub(super) async fn watch(bus: &Connection, shared: &Shared) {
    let forget = || shared.change(|told| told.sessions = None);
    ended(attend(bus, NAME, async || listen(bus, shared).await, forget).await, NAME);
}

async fn listen(bus: &Connection, shared: &Shared) -> zbus::Result<()> {
    let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(NAME)?.build();
    let mut signals = MessageStream::for_match_rule(rule, bus, None).await?;
    let manager: Proxy<'_> =
        Proxy::new(bus, NAME, "/org/freedesktop/login1", "org.freedesktop.login1.Manager").await?;
    loop {
        let answer = patient(manager.call_method("ListSessions", &())).await?;
        let body = answer.body();
        let list: Vec<Entry<'_>> = body.deserialize()?;
        let mut sessions = Vec::new();
        for (.., path) in list.into_iter().take(MOST) {
            // One that ended meanwhile is none.
            sessions.extend(read(bus, path).await.ok().flatten());
        }
        shared.change(|told| told.sessions = Some(sessions));
        if signals.next().await.is_none() {
            return Ok(());
        }
        tokio::time::sleep(SETTLE).await;
        while let Some(Some(_)) = futures_util::FutureExt::now_or_never(signals.next()) {}
    }
}

/// A person's session; none for greeters, services, and sessions that end.
async fn read(bus: &Connection, path: ObjectPath<'_>) -> zbus::Result<Option<Session>> {
    let session: Proxy<'_> = Proxy::new(bus, NAME, path, "org.freedesktop.DBus.Properties").await?;
    let answer = patient(session.call_method("GetAll", &"org.freedesktop.login1.Session")).await?;
    let body = answer.body();
    let all: HashMap<&str, Value<'_>> = body.deserialize()?;
    let text = |name: &str| match all.get(name) {
        Some(Value::Str(text)) => text.as_str(),
        _ => "",
    };
    let flag = |name: &str| matches!(all.get(name), Some(Value::Bool(true)));
    if !text("Class").starts_with("user") || text("State") == "closing" {
        return Ok(None);
    }
    let since = match all.get("IdleSinceHint") {
        Some(Value::U64(micros)) => Some(*micros as f64 / 1e6),
        _ => None,
    };
    Ok(Some(Session {
        screen: matches!(text("Type"), "x11" | "wayland" | "mir") && !flag("Remote"),
        locked: flag("LockedHint"),
        idle_since: since.filter(|since| flag("IdleHint") && *since > 0.0),
    }))
}
