//! Honest stand-ins for the two systems outside Diagflow: the AI platform and the mail server.
//!
//! Both speak the real protocol over real sockets, so that the product under test cannot tell the
//! difference, and both can be told to misbehave. Nothing in here is used by the product itself.

mod http;
pub mod loopai;
pub mod mail;
mod responses;
mod sync;

pub use sync::WaitTimeout;
