//! What the process gives up before it looks at a stranger's code.

use crate::sandbox::protocol::Start;
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

/// Asks the system to kill this process with its node, also while it waits for a job.
#[cfg(target_os = "linux")]
pub(super) fn die_with_parent() -> io::Result<()> {
    use rustix::process::Signal;
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent() -> io::Result<()> {
    Ok(())
}

/// Lowers priority and limits, then closes the file system and the network. Returns in plain words which locks hold.
#[cfg(unix)]
pub(super) fn lock(start: &Start) -> io::Result<String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    /// What the compiler, the stacks and the rest of the process may take besides the module's memory.
    const HEADROOM: u64 = 768 * 1024 * 1024;
    /// What a checkpoint or native code takes besides memory and output.
    const FILE_HEADROOM: u64 = 256 * 1024 * 1024;
    let limits = &start.limits;
    let set = |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });

    super::priority::lowest();
    set(Resource::Core, 0)?;
    set(Resource::Nofile, 64 + start.inputs.len() as u64)?;
    set(Resource::Cpu, u64::from(limits.seconds) + 30)?;
    let held = limits.memory_bytes.saturating_add(limits.output_bytes);
    set(Resource::Fsize, held.saturating_add(FILE_HEADROOM))?;
    // Where the system does not count data pages, the module's own meter still holds. `/out` lies in memory, and is
    // copied once for a checkpoint.
    let _ = set(Resource::Data, held.saturating_add(limits.output_bytes).saturating_add(HEADROOM));
    privileges(start.network)
}

#[cfg(not(unix))]
pub(super) fn lock(_: &Start) -> io::Result<String> {
    Ok("this system offers no lock beyond the engine's".into())
}

#[cfg(target_os = "linux")]
fn privileges(network: bool) -> io::Result<String> {
    use rustix::process::DumpableBehavior;
    // Other processes of the same user, other jobs above all, cannot look into this one.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let files = match landlock(network) {
        Ok(words) => words,
        Err(error) => format!("Landlock failed ({error}); the file system is closed by the engine alone"),
    };
    let calls = match super::seccomp::lock(network) {
        Ok(()) => "seccomp leaves the system calls that a program needs".to_owned(),
        Err(error) => format!("seccomp failed ({error})"),
    };
    Ok(format!("{files}; {calls}"))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn privileges(_: bool) -> io::Result<String> {
    Ok("this system has no Landlock and no seccomp; files and network are closed by the engine alone".into())
}

/// No file by name, no TCP unless it is granted, no signals or abstract sockets to others, as far as this kernel can.
#[cfg(target_os = "linux")]
fn landlock(network: bool) -> Result<String, landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
    };
    let newest = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .scope(Scope::from_all(newest))?;
    // Where the network is granted, to listen is not.
    let ports = if network { AccessNet::BindTcp.into() } else { AccessNet::from_all(newest) };
    rules = rules.handle_access(ports)?;
    let status = rules.create()?.restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "Landlock closes the file system, TCP and other processes".into(),
        RulesetStatus::PartiallyEnforced => "Landlock closes part of what it could on a newer kernel".into(),
        RulesetStatus::NotEnforced => {
            "this kernel has no Landlock; the file system is closed by the engine alone".into()
        }
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_landlocked_thread_opens_no_file() {
        std::thread::spawn(|| {
            let words = super::landlock(false).unwrap();
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
