//! Simulators for the two external systems: the AI platform and the mail server.
//!
//! Both simulators use the real protocols over real sockets, and both can inject faults. The API and the worker do
//! not depend on this crate.

mod http;
pub mod loopai;
pub mod mail;
mod responses;
mod sync;

pub use sync::WaitTimeout;
