//! Seals audit entries, each together with the one before it.

use crate::audit::entry::AuditEntry;
use crate::mac_key::MacKey;

/// The key of the seals. Somebody who can write to the database cannot seal an entry without it.
#[derive(Debug, Clone)]
pub struct AuditKey(MacKey);

impl AuditKey {
    pub fn new(secret: &str) -> AuditKey {
        AuditKey(MacKey::derive(secret, "diagflow audit v1"))
    }

    /// Returns the seal of an entry. `previous` is the seal of the previous entry.
    pub(crate) fn seal(&self, previous: &str, entry: &AuditEntry) -> String {
        let number = entry.number.to_string();
        let at = entry.at.micros().to_string();
        // A missing account is sealed as an empty text, so an empty id must be sealed as a different text.
        let actor_id =
            entry.actor_id.as_deref().map_or("", |id| if id.is_empty() { "\0" } else { id });
        let fields = [
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
        ];
        // Each field is preceded by its length, so that no text can be moved from one field into the next.
        let message: Vec<u8> = fields
            .iter()
            .flat_map(|field| {
                let length = (field.len() as u64).to_be_bytes();
                length.into_iter().chain(field.bytes())
            })
            .collect();
        hex::encode(self.0.tag(message))
    }
}
