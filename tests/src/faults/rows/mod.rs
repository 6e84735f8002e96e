//! The faults, by where they strike.

pub(super) mod clock;
pub(super) mod deploy;
pub(super) mod links;
pub(super) mod loopai;
pub(super) mod mail;
pub(super) mod servers;
pub(super) mod staff;
pub(super) mod starting;
pub(super) mod storage;
pub(super) mod stream;
pub(super) mod submitting;
pub(super) mod worker;
