//! The rows of the fault table, by the component that they affect.

pub(super) mod clock;
pub(super) mod deploy;
pub(super) mod links;
pub(super) mod loopai;
pub(super) mod mail;
pub(super) mod mysql;
pub(super) mod run_start;
pub(super) mod staff;
pub(super) mod storage;
pub(super) mod stream;
pub(super) mod submission;
pub(super) mod worker;
