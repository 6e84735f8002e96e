//! Signed links to files. Anyone with a link can read its file until the link expires. The worker creates the links for
//! LoopAI, and the API verifies them. Links are not stored.

use crate::db::ids::FileId;
use crate::keyring::Keyring;
use crate::mac_key::MacKey;

#[derive(Clone)]
pub struct LinkKey(MacKey);

impl LinkKey {
    pub fn new(secrets: &Keyring) -> LinkKey {
        LinkKey(MacKey::derive(secrets, "diagflow file link v1"))
    }

    /// Returns the path and query of a link that is valid until `expires`, a Unix time in seconds.
    pub fn path(&self, file: FileId, expires: u64) -> String {
        let signature = hex::encode(self.0.tag(message(file, expires)));
        format!("/api/files/{file}?expires={expires}&signature={signature}")
    }

    pub fn is_signed(&self, file: FileId, expires: u64, signature: &str) -> bool {
        hex::decode(signature).is_ok_and(|tag| self.0.verify(message(file, expires), &tag))
    }
}

fn message(file: FileId, expires: u64) -> String {
    format!("{file}:{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_valid_only_for_its_file_and_expiry() {
        let key = LinkKey::new(&"a secret".into());
        let (file, other) = (FileId::new(), FileId::new());
        let path = key.path(file, 1000);
        let signature = path.rsplit_once('=').expect("a query").1;

        assert!(key.is_signed(file, 1000, signature));
        assert!(!key.is_signed(file, 1001, signature));
        assert!(!key.is_signed(other, 1000, signature));
        assert!(!LinkKey::new(&"another".into()).is_signed(file, 1000, signature));
        for wrong in ["", "00", "not hex", &signature[2..]] {
            assert!(!key.is_signed(file, 1000, wrong), "{wrong:?}");
        }
    }
}
