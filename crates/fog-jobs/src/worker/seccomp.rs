//! Which system calls the process may make once it runs a stranger's program.
//!
//! Three filters, of which the strictest answer counts: what no honest worker does (start programs, open connections,
//! look into others, change the system) kills the process, so that it is seen; `clone3` is said not to exist, so that the C
//! library falls back to `clone`, whose flags can be looked at; and of the rest only what is listed is done, everything
//! else fails with EPERM.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// What a program needs: memory, its open files, time, threads of this process, its end.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // The two ends of a pair within this process: the runtime of components makes one.
    libc::SYS_socketpair,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_write,
    libc::SYS_writev,
];

#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] =
    &[libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_newfstatat, libc::SYS_arch_prctl, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[libc::SYS_newfstatat];

/// For a program that was granted the network.
const NETWORK: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_bind,
    libc::SYS_ioctl,
];

/// What no honest worker does.
const DEADLY: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_capset,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Takes the rest away from all threads of this process, for good.
pub(super) fn lock(network: bool) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| text(&e))?;
    let always = |calls: &[i64]| -> Rules { calls.iter().map(|call| (*call, Vec::new())).collect() };

    let mut deadly = always(DEADLY);
    if !network {
        deadly.extend(always(&[libc::SYS_socket, libc::SYS_connect, libc::SYS_bind]));
    }
    let mut allowed = always(ALLOWED);
    allowed.extend(always(ALLOWED_HERE));
    if network {
        allowed.extend(always(NETWORK));
    }
    // Threads, but no processes.
    let threads = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64),
        libc::CLONE_THREAD as u64,
    );
    let threads = threads.and_then(|condition| SeccompRule::new(vec![condition])).map_err(|e| text(&e))?;
    allowed.insert(libc::SYS_clone, vec![threads]);
    allowed.insert(libc::SYS_clone3, Vec::new());
    // The deadly ones are answered by their own filter; here they only must not be answered more strictly.
    let no = |errno: i32| SeccompAction::Errno(errno as u32);
    let filters = [
        (deadly, SeccompAction::Allow, SeccompAction::KillProcess),
        (always(&[libc::SYS_clone3]), SeccompAction::Allow, no(libc::ENOSYS)),
        (allowed, no(libc::EPERM), SeccompAction::Allow),
    ];
    // Compiled before the first is applied.
    let mut programs = Vec::new();
    for (rules, otherwise, listed) in filters {
        let filter = SeccompFilter::new(rules, otherwise, listed, arch).map_err(|e| text(&e))?;
        programs.push(BpfProgram::try_from(filter).map_err(|e| text(&e))?);
    }
    // The list comes last: it does not allow to add filters. So it is applied last.
    for program in &programs {
        apply_filter_all_threads(program).map_err(|e| text(&e))?;
    }
    Ok(())
}
