//! E-mail delivery. A delivery is planned in the transaction that makes it necessary, claimed by one attempt at a time
//! just before the message text is sent, and settled as *sent*, *unknown* or *failed*. An *unknown* e-mail is never
//! resent automatically.

pub(crate) mod attempts;
pub(crate) mod email_link;
pub(crate) mod email_state;
pub(crate) mod maybe_notified;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod result_email;
pub(crate) mod standalone;
