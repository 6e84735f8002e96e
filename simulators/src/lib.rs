//! Simulators of the two external systems: the AI platform and the mail server.
//!
//! Both speak the real protocols over real sockets, and both can misbehave on request. The product does not use them.

mod http;
pub mod loopai;
pub mod mail;
mod responses;
mod sync;

pub use sync::WaitTimeout;
