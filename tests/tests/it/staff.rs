//! People and programs with an account: who may do what, and what of it is written down.

mod cancel;
mod history;
mod keys;
mod limits;
mod operators;
mod pages;
mod passwords;
mod resend;
mod retry;
mod deletion;
mod detail;
mod export;
mod listing;
mod live;
mod own;
mod sessions;
mod throttle;
mod user_command;
mod users;
