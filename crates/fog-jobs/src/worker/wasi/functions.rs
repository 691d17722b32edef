//! The calls by name and type, once, for both engines.

/// The module name of WASI preview 1.
pub(in crate::worker) const MODULE: &str = "wasi_snapshot_preview1";

/// Calls the given macro with every function that a program may import and that returns an error number.
macro_rules! wasi_functions {
    ($with:ident, $($context:tt)*) => {
        $with! { $($context)*;
            args_get(argv: u32, buffer: u32);
            args_sizes_get(count: u32, bytes: u32);
            environ_get(environ: u32, buffer: u32);
            environ_sizes_get(count: u32, bytes: u32);
            clock_res_get(clock: u32, out: u32);
            clock_time_get(clock: u32, precision: u64, out: u32);
            random_get(buffer: u32, len: u32);
            sched_yield();
            poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
            proc_raise(signal: u32);
            fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
            fd_allocate(fd: u32, offset: u64, len: u64);
            fd_close(fd: u32);
            fd_datasync(fd: u32);
            fd_fdstat_get(fd: u32, out: u32);
            fd_fdstat_set_flags(fd: u32, flags: u32);
            fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
            fd_filestat_get(fd: u32, out: u32);
            fd_filestat_set_size(fd: u32, size: u64);
            fd_filestat_set_times(fd: u32, access: u64, modified: u64, flags: u32);
            fd_pread(fd: u32, list: u32, count: u32, offset: u64, out: u32);
            fd_prestat_dir_name(fd: u32, buffer: u32, len: u32);
            fd_prestat_get(fd: u32, out: u32);
            fd_pwrite(fd: u32, list: u32, count: u32, offset: u64, out: u32);
            fd_read(fd: u32, list: u32, count: u32, out: u32);
            fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, out: u32);
            fd_renumber(from: u32, to: u32);
            fd_seek(fd: u32, offset: u64, whence: u32, out: u32);
            fd_sync(fd: u32);
            fd_tell(fd: u32, out: u32);
            fd_write(fd: u32, list: u32, count: u32, out: u32);
            path_create_directory(fd: u32, path: u32, len: u32);
            path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, out: u32);
            path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, access: u64, modified: u64, which: u32);
            path_link(from_fd: u32, flags: u32, from: u32, from_len: u32, fd: u32, path: u32, len: u32);
            path_open(fd: u32, lookup: u32, path: u32, len: u32, how: u32, base: u64, inheriting: u64, flags: u32, out: u32);
            path_readlink(fd: u32, path: u32, len: u32, buffer: u32, size: u32, out: u32);
            path_remove_directory(fd: u32, path: u32, len: u32);
            path_rename(fd: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32);
            path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
            path_unlink_file(fd: u32, path: u32, len: u32);
            sock_accept(fd: u32, flags: u32, out: u32);
            sock_recv(fd: u32, list: u32, count: u32, flags: u32, out: u32, out_flags: u32);
            sock_send(fd: u32, list: u32, count: u32, flags: u32, out: u32);
            sock_shutdown(fd: u32, how: u32);
        }
    };
}
pub(in crate::worker) use wasi_functions;
