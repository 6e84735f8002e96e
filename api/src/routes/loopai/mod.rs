//! What LoopAI asks for: images, and that a run looks at its execution.

pub(super) mod call_back;
pub(super) mod files;
