//! The screen of a test's desktop as the X server knows it: which of the program's windows can be seen, and how a person's
//! click on a window's close button arrives.

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, MapState, Window};
use x11rb::rust_connection::RustConnection;

/// The title of the program's window.
const TITLE: &str = "Fog Compute";

/// The program's window that can be seen, if any.
fn visible(connection: &RustConnection, parent: Window) -> Option<Window> {
    let tree = connection.query_tree(parent).ok()?.reply().ok()?;
    tree.children.into_iter().find_map(|window| {
        let seen =
            connection.get_window_attributes(window).ok()?.reply().ok()?.map_state == MapState::VIEWABLE;
        let name = connection.get_property(false, window, AtomEnum::WM_NAME, AtomEnum::ANY, 0, 64);
        let name = name.ok()?.reply().ok()?.value;
        if seen && name == TITLE.as_bytes() { Some(window) } else { visible(connection, window) }
    })
}

/// True if the program's window can be seen on this display.
pub(crate) fn shows_window(display: &str) -> bool {
    let Ok((connection, screen)) = RustConnection::connect(Some(display)) else { return false };
    visible(&connection, connection.setup().roots[screen].root).is_some()
}

/// Presses the close button of the program's window, which must be there.
pub(crate) fn close_window(display: &str) {
    let (connection, screen) = RustConnection::connect(Some(display)).expect("the display");
    let window = visible(&connection, connection.setup().roots[screen].root).expect("the window");
    let atom = |name: &str| {
        connection.intern_atom(false, name.as_bytes()).expect("a request").reply().expect("an atom").atom
    };
    let (protocols, delete) = (atom("WM_PROTOCOLS"), atom("WM_DELETE_WINDOW"));
    let message = ClientMessageEvent::new(32, window, protocols, [delete, 0, 0, 0, 0]);
    connection
        .send_event(false, window, EventMask::NO_EVENT, message)
        .expect("a request")
        .check()
        .expect("sent");
}
