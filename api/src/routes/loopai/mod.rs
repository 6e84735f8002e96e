//! Routes that LoopAI uses.

pub(super) mod file;
pub(super) mod webhook;
