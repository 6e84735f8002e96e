//! The test harness, which runs the real binary against real MariaDB and Temporal servers and simulators for LoopAI and
//! the mail server. Tests observe the whole system from the outside.
//!
//! `cargo xtask test` starts the MariaDB and Temporal servers and passes their addresses to the tests. Each [`Stack`]
//! has its own database, task queue, folder and ports, so tests can run in parallel.

pub mod assertions;
pub mod browser;
pub mod cases;
pub mod changed_worker;
pub mod client;
pub mod database;
pub mod dedicated_servers;
pub mod eventually;
pub mod failpoints;
pub mod faults;
pub mod history;
pub mod hung_storage;
pub mod loopai_callback;
pub mod nginx;
pub mod photos;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod replay;
pub mod responses;
pub mod seeding;
pub mod servers;
pub mod sse;
pub mod stack;
pub mod staff;
pub mod temporal_cli;
pub mod temporal_proxy;
pub mod tokens;

pub use client::{AcceptedSubmission, ApiClient};
pub use eventually::eventually;
pub use proxy::Proxy;
pub use sse::{SseEvent, SseStream};
pub use stack::{Stack, StackOptions};
pub use staff::Staff;
