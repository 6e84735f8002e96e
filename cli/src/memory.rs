//! Keeps the database driver within its memory.
//!
//! For the life of a process, `mysql_async` keeps up to 128 buffers for packets, each as large as the largest
//! packet that it ever held, up to 4 MiB. Results may be as large as that, so whoever stores, shows or exports
//! many of them would end with half a GiB that is never used again. The driver can be told to keep less by an
//! environment variable alone, and a running process cannot safely change its own: so it begins anew, before
//! it has done anything.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Read by `mysql_async` when it is first used.
const VARIABLE: &str = "MYSQL_ASYNC_BUFFER_SIZE_CAP";
/// Bytes of a buffer that is kept: more than nearly all packets have. 128 of them are 8 MiB.
const KEPT: &str = "65536";

/// Replaces this process by itself with the variable set, unless it is; whoever set another value keeps it.
/// To be called first of all.
pub(crate) fn bound_driver() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let mut same = Command::new(program);
    if let Some(name) = arguments.next() {
        same.arg0(name);
    }
    let error = same.args(arguments).env(VARIABLE, KEPT).exec();
    // Nothing is wrong but the memory that large results will cost.
    eprintln!("diagflow: cannot begin anew with {VARIABLE}={KEPT}: {error}");
}
