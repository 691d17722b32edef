//! How much memory this process uses.

/// Resident memory, bytes; 0 where the system does not tell.
pub(crate) fn resident() -> u64 {
    #[cfg(target_os = "linux")]
    {
        // "VmRSS:     12345 kB" (proc_pid_status(5))
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
    #[cfg(not(target_os = "linux"))]
    {
        let pid = sysinfo::get_current_pid().ok();
        let mut system = sysinfo::System::new();
        pid.map_or(0, |pid| {
            system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), false);
            system.process(pid).map_or(0, sysinfo::Process::memory)
        })
    }
}
