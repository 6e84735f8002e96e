//! The ledger of e-mails that we owe. A mail is planned together with its reason, claimed by one
//! attempt at a time just before its text goes out ([`attempts`]), and settled as sent, unknown or failed.
//! *Unknown* is never sent again by itself.

pub(crate) mod attempts;
pub(crate) mod maybe_notified;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod standalone;
