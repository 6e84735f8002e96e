//! Tests that a child started with the guard is killed when the thread that started it ends.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;

fn guarded_sleep(parent: u32) -> std::io::Result<Child> {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["guard", &parent.to_string(), "--", "sleep", "60"])
        .stderr(Stdio::null())
        .spawn()
}

/// Waits until the guard has replaced itself with `sleep`.
fn has_become_sleep(child: &Child) -> bool {
    let started = Instant::now();
    let name = format!("/proc/{}/comm", child.id());
    while started.elapsed() < Duration::from_secs(20) {
        if fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep") {
            return true;
        }
        thread::yield_now();
    }
    false
}

#[test]
fn a_child_is_killed_when_its_parent_ends() -> std::io::Result<()> {
    let started = Instant::now();
    // To the child, the end of this thread is equivalent to the parent process being killed.
    let parent = thread::spawn(|| {
        let child = guarded_sleep(std::process::id())?;
        assert!(has_become_sleep(&child));
        Ok::<_, std::io::Error>(child)
    });
    let mut child = parent.join().map_err(|_| std::io::Error::other("the thread panicked"))??;

    assert_eq!(child.wait()?.signal(), Some(SIGKILL));
    assert!(started.elapsed() < Duration::from_secs(50));
    Ok(())
}

#[test]
fn a_child_does_not_start_if_its_parent_has_already_ended() -> std::io::Result<()> {
    const NOBODY: u32 = 1;
    let status = guarded_sleep(NOBODY)?.wait()?;
    assert_eq!(status.code(), Some(1));
    Ok(())
}
