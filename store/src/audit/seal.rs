//! Seals audit entries, each together with the previous one.

use crate::audit::entry::AuditEntry;
use crate::keyring::Keyring;
use crate::mac_key::MacKey;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Length of a key id, in hexadecimal digits.
const KEY_ID_LENGTH: usize = 16;

/// The key that seals audit entries, and other keys, which only verify entries. Without the key, someone with
/// write access to the database cannot forge an entry.
#[derive(Debug, Clone)]
pub struct AuditKey {
    current: Arc<SealingKey>,
    others: Arc<[SealingKey]>,
}

#[derive(Debug)]
struct SealingKey {
    id: String,
    key: MacKey,
}

impl AuditKey {
    pub fn new(secrets: &Keyring) -> AuditKey {
        AuditKey {
            current: Arc::new(SealingKey::new(secrets.current())),
            others: secrets.others().iter().map(SealingKey::new).collect(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.current.id
    }

    /// Seals an entry with the current key, whose id the entry must contain.
    pub(crate) fn seal(&self, entry: &AuditEntry) -> String {
        self.current.seal(entry)
    }

    /// Returns whether an entry's seal matches its content, or `None` if the key that sealed the entry is unknown.
    pub(crate) fn verifies(&self, entry: &AuditEntry) -> Option<bool> {
        let mut keys = std::iter::once(&*self.current).chain(&*self.others);
        let key = keys.find(|key| key.id == entry.key_id)?;
        Some(key.seal(entry) == entry.hash)
    }
}

impl SealingKey {
    fn new(secret: &SecretString) -> Self {
        let digest = MacKey::raw(secret.expose_secret()).tag("diagflow audit key id v1");
        let mut id = hex::encode(digest);
        id.truncate(KEY_ID_LENGTH);
        let secrets = Keyring::new(secret.clone(), Vec::new());
        Self { id, key: MacKey::derive(&secrets, "diagflow audit v1") }
    }

    fn seal(&self, entry: &AuditEntry) -> String {
        let number = entry.number.to_string();
        let at = entry.at.micros().to_string();
        // A missing account id is sealed as an empty string, so an empty account id must be sealed as a different
        // string.
        let actor_id =
            entry.actor_id.as_deref().map_or("", |id| if id.is_empty() { "\0" } else { id });
        let fields = [
            &entry.previous,
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
            &entry.key_id,
        ];
        // Each field is preceded by its length so that moving text from one field to the next changes the seal.
        let message: Vec<u8> = fields
            .iter()
            .flat_map(|field| {
                let length = (field.len() as u64).to_be_bytes();
                length.into_iter().chain(field.bytes())
            })
            .collect();
        hex::encode(self.key.tag(message))
    }
}
