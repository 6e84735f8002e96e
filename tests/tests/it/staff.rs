//! People and programs with an account: who may do what, and what of it is written down.

mod access;
mod at_once;
mod audit;
mod audit_lines;
mod cancel;
mod deletion;
mod detail;
mod export;
mod history;
mod keys;
mod limits;
mod listing;
mod live;
mod operators;
mod own;
mod pages;
mod passwords;
mod refusals;
mod resend;
mod retry;
mod sessions;
mod sign_in;
mod throttle;
mod user_command;
mod users;
mod words;
