//! What LoopAI asks for: images, and that a run looks at its execution.

pub(super) mod file;
pub(super) mod webhook;
