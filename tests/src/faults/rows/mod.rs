//! The rows of the fault table, grouped by affected component.

pub(super) mod clients;
pub(super) mod clock;
pub(super) mod deploy;
pub(super) mod erasure;
pub(super) mod failover;
pub(super) mod large_result;
pub(super) mod links;
pub(super) mod loopai;
pub(super) mod mail;
pub(super) mod mysql;
pub(super) mod other_namespace;
pub(super) mod poisoned;
pub(super) mod run_start;
pub(super) mod staff;
pub(super) mod storage;
pub(super) mod stream;
pub(super) mod submission;
pub(super) mod temporal_ui;
pub(super) mod worker;
