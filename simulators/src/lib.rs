//! Simulators of the two external systems: the AI platform and the mail server.
//!
//! Both use the real protocols over real sockets, and both can inject faults. The product does not use them.

mod http;
pub mod loopai;
pub mod mail;
mod responses;
mod sync;

pub use sync::WaitTimeout;
