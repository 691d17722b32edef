//! What the process gives up before it looks at a stranger's code.

use crate::spec::Limits;
use std::io;

/// Closes every file that was inherited, but the three standard ones.
#[cfg(target_os = "linux")]
pub(super) fn close_inherited() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The listing's own number is among them, and closed by now.
    let still_open = |number: &i32| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(|number| *number > 2).filter(still_open) {
        // SAFETY: the number is open, and since this is the first thing the process does, no object owns it.
        #[allow(unsafe_code)]
        unsafe {
            rustix::io::close(number);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn close_inherited() {}

/// Lowers priority and limits, then closes the file system and TCP. Returns in plain words which locks hold.
#[cfg(unix)]
pub(super) fn lock(limits: &Limits) -> io::Result<String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    /// What the compiler, the stacks and the rest of the process may take besides the module's memory.
    const HEADROOM: u64 = 768 * 1024 * 1024;
    let set = |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });

    super::priority::lowest();
    set(Resource::Core, 0)?;
    set(Resource::Nofile, 64)?;
    set(Resource::Cpu, u64::from(limits.seconds) + 30)?;
    set(Resource::Fsize, limits.output_bytes.max(1))?;
    // Where the system does not count data pages, the module's own meter still holds.
    let _ = set(Resource::Data, limits.memory_bytes.saturating_add(HEADROOM));
    privileges()
}

#[cfg(not(unix))]
pub(super) fn lock(_: &Limits) -> io::Result<String> {
    Ok("this system offers no lock beyond wasmtime's".into())
}

#[cfg(target_os = "linux")]
fn privileges() -> io::Result<String> {
    use rustix::process::{DumpableBehavior, Signal};
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Other processes of the same user, other jobs above all, cannot look into this one.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(match landlock() {
        Ok(words) => words,
        Err(error) => format!("Landlock failed ({error}); the file system is closed by wasmtime alone"),
    })
}

#[cfg(all(unix, not(target_os = "linux")))]
fn privileges() -> io::Result<String> {
    Ok("this system has no Landlock; the file system is closed by wasmtime alone".into())
}

/// No file by name, no TCP, no signals or abstract sockets to others, as far as this kernel can.
#[cfg(target_os = "linux")]
fn landlock() -> Result<String, landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
    };
    let newest = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "Landlock closes the file system, TCP and other processes".into(),
        RulesetStatus::PartiallyEnforced => "Landlock closes part of what it could on a newer kernel".into(),
        RulesetStatus::NotEnforced => {
            "this kernel has no Landlock; the file system is closed by wasmtime alone".into()
        }
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_landlocked_thread_opens_no_file() {
        std::thread::spawn(|| {
            let words = super::landlock().unwrap();
            let opened = std::fs::File::open("/etc/passwd");
            let connected = std::net::TcpStream::connect("127.0.0.1:9");
            if words.starts_with("Landlock closes the") {
                assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
                assert_eq!(connected.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
            }
        })
        .join()
        .unwrap();
    }
}
