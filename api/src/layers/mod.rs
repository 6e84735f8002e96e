//! What every request passes through, outermost first: request id, log and metrics; headers; CORS;
//! then, per route, its time limit, and how many requests one client may send.

pub(crate) mod cors;
pub(crate) mod headers;
pub(crate) mod limiters;
pub(crate) mod lingering_close;
pub(crate) mod observe;
pub(crate) mod rate_limit;
pub(crate) mod time_limit;
