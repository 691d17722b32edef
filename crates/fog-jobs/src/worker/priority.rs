//! The lowest priority that the system has: whoever sits at the device comes first.

/// Lowers the priority of this process for processor and disk. What the system refuses, or does not have, is left: the
/// pace and the caps from outside still hold.
#[cfg(target_os = "linux")]
pub(super) fn lowest() {
    let _ = rustix::process::nice(19);
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives during the call; 0 is this process.
    #[allow(unsafe_code)]
    unsafe {
        // Runs when nobody else wants the processor.
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter);
    }
    // The disk's idle class, 3, in the upper bits; the C library has no name for the call.
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;
    // SAFETY: numbers only; 0 is this process.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
    }
}

/// Lowers the priority of this process for processor, disk and network.
#[cfg(target_os = "macos")]
pub(super) fn lowest() {
    let _ = rustix::process::nice(19);
    // SAFETY: numbers only; 0 is this process.
    #[allow(unsafe_code)]
    unsafe {
        libc::setpriority(libc::PRIO_DARWIN_PROCESS, 0, libc::PRIO_DARWIN_BG);
    }
}

/// Lowers the priority of this process.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "macos"))))]
pub(super) fn lowest() {
    let _ = rustix::process::nice(19);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_thread_gets_the_idle_class() {
        // The calls above are about one thread when there are several, so this harms no other test.
        std::thread::spawn(|| {
            super::lowest();
            // SAFETY: numbers only.
            #[allow(unsafe_code)]
            let (policy, disk) =
                unsafe { (libc::sched_getscheduler(0), libc::syscall(libc::SYS_ioprio_get, 1, 0)) };
            assert_eq!(policy, libc::SCHED_IDLE);
            assert_eq!(disk >> 13, 3);
        })
        .join()
        .unwrap();
    }
}
