//! The subcommands of the `diagflow` binary, one per file.

pub(crate) mod after_restore;
pub(crate) mod audit;
pub(crate) mod erase;
pub(crate) mod loopai_sim;
pub(crate) mod mail_catcher;
pub(crate) mod migrate;
pub(crate) mod move_temporal;
mod operator;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod user;
pub(crate) mod work;
