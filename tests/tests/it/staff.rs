//! People and programs with an account: who may do what, and what of it is written down.

mod sessions;
