//! A desktop's tray, as programs see it: a StatusNotifierWatcher on the session's bus, and the menus of what registers.

use crate::eventually;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use zbus::message::Header;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, Proxy, interface};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const MENU: &str = "com.canonical.dbusmenu";

/// Owner and object of a registered item.
type Items = Arc<Mutex<Vec<(String, String)>>>;

struct Watcher(Items);

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    #[allow(clippy::needless_pass_by_value, reason = "zbus hands it over so")]
    fn register_status_notifier_item(&self, item: &str, #[zbus(header)] header: Header<'_>) {
        let owner = header.sender().map(ToString::to_string).unwrap_or_default();
        self.0.lock().expect("no panic holds it").push((owner, item.to_owned()));
    }

    fn register_status_notifier_host(&self, _host: &str) {}

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.0
            .lock()
            .expect("no panic holds it")
            .iter()
            .map(|(owner, item)| format!("{owner}{item}"))
            .collect()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// A tray with at most one program in it.
pub struct Tray {
    runtime: Runtime,
    bus: Connection,
    items: Items,
}

/// A line of a menu.
#[derive(Debug, Clone)]
pub struct Line {
    id: i32,
    /// Its text, without the marks for keys.
    pub label: String,
    /// True if it can be chosen.
    pub enabled: bool,
    /// True if a mark stands at it.
    pub checked: bool,
}

impl Tray {
    /// Puts a tray on this bus.
    pub fn start(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let items = Items::default();
        let builder = zbus::connection::Builder::address(address)
            .and_then(|b| b.serve_at("/StatusNotifierWatcher", Watcher(Arc::clone(&items))))
            .and_then(|b| b.name(WATCHER))
            .expect("an address and a name");
        let bus = runtime.block_on(builder.build()).expect("the bus");
        Self { runtime, bus, items }
    }

    /// The menu of the one program, once it is there.
    pub fn menu(&self) -> Vec<Line> {
        eventually("the program's icon", || self.try_menu())
    }

    fn try_menu(&self) -> Option<Vec<Line>> {
        self.try_menu_of().map(|(lines, _)| lines)
    }

    /// The menu of the newest icon whose program still runs, and how to reach it. As trays do, it forgets the icons of
    /// programs that have ended, such as of one that only showed another's window.
    fn try_menu_of(&self) -> Option<(Vec<Line>, Proxy<'static>)> {
        let items = self.items.lock().expect("no panic holds it").clone();
        self.runtime.block_on(async {
            for (owner, item) in items.iter().rev() {
                let Some(menu) = self.proxy(owner, item).await else { continue };
                let args = (0i32, -1i32, ["label", "enabled", "toggle-state"].as_slice());
                type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
                let answer: zbus::Result<(u32, Node)> = menu.call("GetLayout", &args).await;
                if let Ok((_, (_, _, children))) = answer {
                    return Some((children.into_iter().filter_map(line).collect(), menu));
                }
            }
            None
        })
    }

    async fn proxy(&self, owner: &str, item: &str) -> Option<Proxy<'static>> {
        let notifier: Proxy<'_> =
            Proxy::new(&self.bus, owner.to_owned(), item.to_owned(), "org.kde.StatusNotifierItem")
                .await
                .ok()?;
        let path: OwnedObjectPath = notifier.get_property("Menu").await.ok()?;
        Proxy::new(&self.bus, owner.to_owned(), path, MENU).await.ok()
    }

    /// Chooses the line with this text, once it is there.
    pub fn choose(&self, label: &str) {
        let (line, menu) = eventually(label, || {
            let (lines, menu) = self.try_menu_of()?;
            Some((lines.into_iter().find(|line| line.label == label)?, menu))
        });
        self.runtime.block_on(async {
            let args = (line.id, "clicked", Value::from(0i32), 0u32);
            menu.call::<_, _, ()>("Event", &args).await.expect("the menu answers");
        });
    }
}

/// A line out of (id, properties, children).
fn line(node: OwnedValue) -> Option<Line> {
    let Value::Structure(fields) = Value::from(node) else { return None };
    let [Value::I32(id), Value::Dict(properties), _] = fields.fields() else { return None };
    let get = |name: &str| {
        let found = properties.iter().find(|(key, _)| **key == Value::from(name))?.1;
        Some(if let Value::Value(inner) = found { inner } else { found })
    };
    let label = match get("label")? {
        Value::Str(text) => text.replace('_', ""),
        _ => return None,
    };
    let enabled = !matches!(get("enabled"), Some(Value::Bool(false)));
    let checked = matches!(get("toggle-state"), Some(Value::I32(1)));
    Some(Line { id: *id, label, enabled, checked })
}
