//! Tests of the whole system against faults of LoopAI and of the mail server, and against operators.

mod cancel;
mod loopai;
mod mail;
mod tls;
