//! The simulators as their users see them: over sockets, and by their public API.

mod inbox;
mod loopai_contract;
mod loopai_faults;
mod smtp;
mod smtp_faults;
mod support;
