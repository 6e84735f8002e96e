//! Handles Ctrl-C, SIGTERM and SIGHUP by setting a flag that every waiting loop checks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The error returned by an interrupted command. It is not shown to the user.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Installs the signal handler. From then on, signals set the flag instead of terminating this process.
pub(crate) fn install_handler() -> Result<()> {
    ctrlc::set_handler(|| REQUESTED.store(true, Ordering::SeqCst)).context("cannot handle Ctrl-C")
}

pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

pub(crate) fn check() -> Result<()> {
    if requested() { Err(Interrupted.into()) } else { Ok(()) }
}
