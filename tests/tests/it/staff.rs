//! People and programs with an account: who may do what, and what of it is written down.

mod keys;
mod limits;
mod pages;
mod passwords;
mod sessions;
mod throttle;
mod user_command;
mod users;
