//! The layers around the routes, outermost first: request id, log and metrics; security headers; body timeout;
//! CORS; then the rate limit and the time limit of each route.

pub(crate) mod cors;
pub(crate) mod headers;
mod limiter_states;
pub(crate) mod limiters;
pub(crate) mod lingering_close;
pub(crate) mod observe;
pub(crate) mod rate_limit;
pub(crate) mod time_limit;
