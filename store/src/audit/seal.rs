//! Seals lines of the audit, each together with the one before it.

use crate::audit::entry::AuditEntry;
use hmac::{Hmac, KeyInit, Mac};
use std::fmt;

/// Seals the lines. Whoever can write to the database, but does not know the key, cannot seal one.
#[derive(Clone)]
pub struct AuditKey(Hmac<sha2::Sha256>);

impl AuditKey {
    /// From the service's audit secret.
    pub fn new(secret: &str) -> AuditKey {
        AuditKey(Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length"))
    }

    /// The seal of a line that follows the one with the seal `previous`.
    pub(crate) fn seal(&self, previous: &str, entry: &AuditEntry) -> String {
        let mut mac = self.0.clone();
        let number = entry.number.to_string();
        let at = entry.at.and_utc().timestamp_micros().to_string();
        // No account is sealed as an empty text, which therefore must not stand for an empty text.
        let actor_id =
            entry.actor_id.as_deref().map_or("", |id| if id.is_empty() { "\0" } else { id });
        for field in [
            previous,
            &number,
            &at,
            &entry.actor_kind,
            actor_id,
            &entry.actor_name,
            &entry.action,
            &entry.object_kind,
            &entry.object_id,
            &entry.result,
            &entry.address,
            &entry.request_id,
            &entry.details,
        ] {
            // With its length, so that nothing can move from one field into the next.
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}
