//! The layers around the routes, from the outermost to the innermost: request id, log and metrics; security headers;
//! size of the head; reserved connections; body timeout; CORS; rate limit and time limit of the route.

pub(crate) mod concurrency;
pub(crate) mod cors;
pub(crate) mod event_source;
pub(crate) mod head_limit;
pub(crate) mod headers;
mod limiter_states;
pub(crate) mod limiters;
pub(crate) mod lingering_close;
pub(crate) mod observe;
pub(crate) mod rate_limit;
pub(crate) mod reserved_connections;
pub(crate) mod time_limit;
