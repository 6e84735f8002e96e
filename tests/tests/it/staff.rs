//! People and programs with an account: who may do what, and what of it is written down.

mod deletion;
mod detail;
mod export;
mod listing;
mod live;
mod own;
mod sessions;
