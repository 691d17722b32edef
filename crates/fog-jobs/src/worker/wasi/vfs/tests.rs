use super::super::Fail;
use super::*;

fn is<T>(error: &Result<T, Fail>, errno: Errno) -> bool {
    matches!(error, Err(Fail::Errno(found)) if *found == errno)
}

#[test]
fn paths_do_not_leave_their_folder() {
    assert_eq!(resolve("out", "a/./b//c"), Some("out/a/b/c".into()));
    assert_eq!(resolve("out", "a/../b"), Some("out/b".into()));
    assert_eq!(resolve("out", "."), Some("out".into()));
    for path in ["..", "../in", "a/../../in/x", "/etc/passwd", "/", "a\0b", "../../../../etc/passwd"] {
        assert_eq!(resolve("out", path), None, "{path:?}");
    }
    assert_eq!(resolve("out/deep", "../x"), None);
}

#[test]
fn files_are_made_moved_and_removed() {
    let mut vfs = Vfs::new(100);
    vfs.make_folder("out/a").unwrap();
    let id = vfs.make_file("out/a/f").unwrap();
    vfs.write(id, 2, b"xyz").unwrap();
    assert_eq!(vfs.content(id).unwrap(), b"\0\0xyz");
    assert!(is(&vfs.make_file("out/none/f"), Errno::NoEntry));
    assert!(is(&vfs.make_file("out/a/f/g"), Errno::NotFolder));
    assert!(is(&vfs.make_file("in/f"), Errno::ReadOnly));
    assert!(is(&vfs.remove("out/a", true), Errno::NotEmpty));
    assert!(is(&vfs.rename("out/a", "out/a/b"), Errno::Invalid));
    vfs.rename("out/a", "out/b").unwrap();
    assert_eq!(vfs.find("out/b/f"), Some(Entry::Output(id)));
    assert_eq!(vfs.find("out/a/f"), None);
    assert_eq!(vfs.outputs().map(|(path, _)| path).collect::<Vec<_>>(), ["b", "b/f"]);
    vfs.remove("out/b/f", false).unwrap();
    vfs.remove("out/b", true).unwrap();
    assert!(is(&vfs.remove("out", true), Errno::ReadOnly));
    assert_eq!(vfs.used, 0);
}

#[test]
fn the_quota_counts_files_and_output_together() {
    let mut vfs = Vfs::new(10);
    let id = vfs.make_file("out/f").unwrap();
    vfs.count(4).unwrap();
    vfs.write(id, 0, b"123456").unwrap();
    assert!(matches!(vfs.write(id, 6, b"7"), Err(Fail::Stop(RunError::OutputLimit(10)))));
    assert!(matches!(vfs.resize(id, u64::MAX), Err(Fail::Stop(RunError::OutputLimit(10)))));
    assert!(is(&vfs.write(id, u64::MAX, b"7"), Errno::Overflow));
    // A removed file counts until it is closed.
    vfs.hold(id).unwrap();
    vfs.remove("out/f", false).unwrap();
    assert!(vfs.count(1).is_err());
    vfs.release(id);
    vfs.count(6).unwrap();
}

#[test]
fn there_is_an_end_to_files() {
    let mut vfs = Vfs::new(10);
    for n in 0..MAX_ENTRIES {
        vfs.make_file(&format!("out/{n}")).unwrap();
    }
    assert!(matches!(vfs.make_file("out/more"), Err(Fail::Stop(RunError::Denied(_)))));
}

#[test]
fn a_tree_comes_back_and_a_forged_one_does_not() {
    let mut vfs = Vfs::new(100);
    vfs.make_folder("out/a").unwrap();
    let id = vfs.make_file("out/a/f").unwrap();
    vfs.write(id, 0, b"abc").unwrap();
    let tree = vfs.tree();
    let mut other = Vfs::new(100);
    other.restore(&tree, 5).unwrap();
    assert_eq!((other.tree(), other.used), (tree.clone(), 8));

    let forged = [
        Tree { entries: vec![("etc/passwd".into(), Some(id))], ..tree.clone() },
        Tree { entries: vec![("out/../x".into(), Some(id))], ..tree.clone() },
        Tree { entries: vec![("out/b/f".into(), Some(id))], ..tree.clone() },
        Tree { entries: vec![("out/f".into(), Some(77))], ..tree.clone() },
        Tree { entries: vec![("out/f".into(), Some(id)), ("out/g".into(), Some(id))], ..tree.clone() },
        Tree { files: vec![(id, 101)], ..tree.clone() },
        Tree { files: vec![(id, u64::MAX)], ..tree.clone() },
        Tree { next: 1, ..tree },
    ];
    for tree in forged {
        assert!(Vfs::new(100).restore(&tree, 0).is_err(), "{tree:?}");
    }
}

#[test]
fn inputs_have_clean_names() {
    let mut vfs = Vfs::new(0);
    let file = || tempfile::tempfile().unwrap();
    vfs.add_input("data/a.txt", file(), 3).unwrap();
    vfs.add_input("data/b.txt", file(), 3).unwrap();
    assert_eq!(vfs.list("in").len(), 1);
    assert_eq!(vfs.list("in/data").len(), 2);
    for name in
        ["", "..", "/etc/passwd", "a/../b", "./a", "data/a.txt", "data", "data/a.txt/c", "a//b", "x\0y"]
    {
        assert!(vfs.add_input(name, file(), 3).is_err(), "{name:?}");
    }
}
