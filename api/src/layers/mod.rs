//! What every request passes through, outermost first: request id, log and metrics; headers; CORS;
//! then, per route, its time limit, and how many requests one client may send.

mod cors;
mod headers;
mod linger;
mod observe;
pub(crate) mod rate_limit;
pub(crate) mod request_id;
mod time_limit;

pub(crate) use cors::cors;
pub(crate) use headers::security_headers;
pub(crate) use linger::linger;
pub(crate) use observe::observe;
pub(crate) use rate_limit::{Counted, Exceeded, Limiters, limited, limited_beside};
pub(crate) use time_limit::{broken_off, limit_time, to_its_end};
