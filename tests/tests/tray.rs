//! The icon among the system's, on a desktop that has a tray: it says the state and pauses; the window closes and work goes
//! on; a second start shows the window again; the program starts with the computer, in the background.
#![cfg(feature = "window")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::tray::Tray;
use fog_e2e::window::Desktop;
use fog_e2e::{Node, eventually};

#[test]
fn the_window_closes_and_the_icon_stays() {
    let desktop = Desktop::start();
    let tray = Tray::start(desktop.bus());
    let dir = desktop.path("ada");
    let mut node = Node::at(&dir, &["--name", "Ada"]);
    node.start();
    node.kill();
    let mut app = desktop.start_app(&dir, "app");
    desktop.shown(true);
    eventually("the node", || node.try_fog(&["status"]).ok());

    let labels = || tray.menu().into_iter().map(|line| line.label).collect::<Vec<_>>();
    for label in ["Open Fog Compute", "Pause for an hour", "Start with the computer", "Quit"] {
        assert!(labels().iter().any(|l| l == label), "{:?}", labels());
    }
    // The first line says the state, and cannot be chosen.
    let first = |word: &str| {
        eventually(word, || {
            let line = tray.menu().into_iter().next()?;
            (line.label.contains(word) && !line.enabled).then_some(())
        });
    };

    tray.choose("Pause for an hour");
    first("Paused");
    let status = node.fog(&["harvest", "status"]);
    assert!(status["paused_until"].is_number() && status["state"] == "disabled", "{status}");

    // The window goes, the node stays, and what it is told shows in the menu.
    desktop.close_window();
    desktop.shown(false);
    node.fog(&["harvest", "pause", "off"]);
    eventually("the pause to end in the menu", || {
        labels().contains(&"Pause for an hour".into()).then_some(())
    });
    node.fog(&["harvest", "now"]);
    first("Ready for work");
    assert!(app.runs());

    // Starting it again shows the window of the one that runs; so does the menu.
    let mut second = desktop.start_app(&dir, "second");
    assert_eq!(second.wait(), Some(0), "{}", second.printed());
    assert!(second.printed().contains("open already"), "{}", second.printed());
    desktop.shown(true);
    desktop.close_window();
    desktop.shown(false);
    tray.choose("Open Fog Compute");
    desktop.shown(true);

    // With the computer: the desktop's list names this program, in the background.
    tray.choose("Start with the computer");
    let list = desktop.home.join(".config/autostart");
    let entry = eventually("the entry", || {
        let mut files = std::fs::read_dir(&list).ok()?.flatten();
        std::fs::read_to_string(files.next()?.path()).ok()
    });
    assert!(entry.contains("fog-compute") && entry.contains("--background"), "{entry}");
    eventually("the mark", || {
        tray.menu().into_iter().find(|l| l.label == "Start with the computer")?.checked.then_some(())
    });
    tray.choose("Start with the computer");
    eventually("no entry", || std::fs::read_dir(&list).unwrap().next().is_none().then_some(()));

    tray.choose("Quit");
    assert_eq!(app.wait(), Some(0), "{}", app.printed());

    // Started by the computer, it opens no window.
    let mut app = desktop.start_app_with(&dir, "background", &["--background"]);
    eventually("the node", || node.try_fog(&["status"]).ok());
    assert!(tray.menu().len() > 3);
    desktop.shown(false);
    tray.choose("Open Fog Compute");
    desktop.shown(true);
    tray.choose("Quit");
    assert_eq!(app.wait(), Some(0), "{}", app.printed());
}
