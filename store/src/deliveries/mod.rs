//! E-mails. A delivery is planned in the transaction that causes it, claimed by one attempt at a time just before the
//! text is sent, and settled as *sent*, *unknown* or *failed*. An *unknown* e-mail is never sent again automatically.

pub(crate) mod attempts;
pub(crate) mod maybe_notified;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod result_email;
pub(crate) mod standalone;
