//! The commands, one file each.

pub(crate) mod after_restore;
pub(crate) mod audit;
pub(crate) mod loopai_sim;
pub(crate) mod mail_catcher;
pub(crate) mod migrate;
mod operator;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod user;
pub(crate) mod work;
