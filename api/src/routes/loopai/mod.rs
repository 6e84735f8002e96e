pub(super) mod file;
pub(super) mod webhook;
