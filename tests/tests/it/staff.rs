//! People and programs with an account: who may do what, and what of it is written down.

mod cancel;
mod history;
mod operators;
mod resend;
mod retry;
mod sessions;
