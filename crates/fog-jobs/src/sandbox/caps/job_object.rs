//! Windows' job objects.

#![allow(unsafe_code, reason = "the system's calls")]

use super::{Cap, enforced};
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use tokio::process::Child;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_CPU_RATE_CONTROL_ENABLE,
    JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_JOB_MEMORY,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_LIMIT_PRIORITY_CLASS,
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectCpuRateControlInformation, JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::IDLE_PRIORITY_CLASS;

/// A process may have so many others below it: none but itself. Threads are not counted here.
const PROCESSES: u32 = 1;
/// The system counts in hundredths of a percent of all processors together.
const WHOLE: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Tree {
    cpus: u64,
}

/// One worker's job object. Closing it kills whatever is in it.
#[derive(Debug)]
pub(super) struct Group {
    job: OwnedHandle,
    cpus: u64,
}

impl Tree {
    pub(super) fn find() -> io::Result<Self> {
        Ok(Self { cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64) })
    }

    pub(super) fn words(&self) -> &'static str {
        "job objects: processor, memory, processes"
    }

    pub(super) fn group(&self, cap: Cap) -> io::Result<Group> {
        // SAFETY: without attributes and without a name; null is an error.
        let handle = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made and has no other owner.
        let job = unsafe { OwnedHandle::from_raw_handle(handle.cast()) };
        let group = Group { job, cpus: self.cpus };
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_ACTIVE_PROCESS
            | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION
            | JOB_OBJECT_LIMIT_JOB_MEMORY
            | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
            | JOB_OBJECT_LIMIT_PRIORITY_CLASS;
        limits.BasicLimitInformation.ActiveProcessLimit = PROCESSES.min(cap.processes);
        limits.BasicLimitInformation.PriorityClass = IDLE_PRIORITY_CLASS;
        limits.JobMemoryLimit = usize::try_from(cap.memory).unwrap_or(usize::MAX);
        group.set(JobObjectExtendedLimitInformation, &limits)?;
        group.set_share(cap.share)?;
        Ok(group)
    }
}

impl Group {
    pub(super) fn adopt(&self, child: &Child) -> io::Result<()> {
        let process = child.raw_handle().ok_or_else(|| io::Error::other("the worker has ended already"))?;
        // SAFETY: both handles are open: the child is borrowed, the job is ours.
        check(unsafe { AssignProcessToJobObject(self.job.as_raw_handle().cast(), process.cast()) })
    }

    pub(super) fn set_share(&self, share: u32) -> io::Result<()> {
        let mut rate = JOBOBJECT_CPU_RATE_CONTROL_INFORMATION {
            ControlFlags: JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP,
            ..JOBOBJECT_CPU_RATE_CONTROL_INFORMATION::default()
        };
        let part = u64::from(enforced(share)) * WHOLE / 1000 / self.cpus;
        rate.Anonymous.CpuRate = part.clamp(1, WHOLE) as u32;
        self.set(JobObjectCpuRateControlInformation, &rate)
    }

    fn set<T>(&self, class: i32, value: &T) -> io::Result<()> {
        let (at, size) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
        // SAFETY: the value is of the class's type and lives during the call.
        check(unsafe { SetInformationJobObject(self.job.as_raw_handle().cast(), class, at, size) })
    }
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
