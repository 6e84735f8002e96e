//! The signed receipt for an erasure, which contains none of the patient's personal data.

use crate::audit::entry::Actor;
use crate::db::ids::{Sha256, SubmissionId};
use crate::keyring::Keyring;
use crate::mac_key::MacKey;
use serde::{Deserialize, Serialize};

const PURPOSE: &str = "diagflow erasure receipt v1";

/// The key that signs receipts. Receipts signed with an earlier key can still be verified.
#[derive(Debug, Clone)]
pub struct ReceiptKey(MacKey);

impl ReceiptKey {
    pub fn new(secrets: &Keyring) -> Self {
        Self(MacKey::derive(secrets, PURPOSE))
    }

    pub(super) fn sign(&self, content: ErasureContent) -> ErasureReceipt {
        let signature = hex::encode(self.0.tag(content.signed_text()));
        ErasureReceipt { content, signature }
    }

    /// Whether a receipt was signed with one of the keys and has not been changed since.
    pub fn verifies(&self, receipt: &ErasureReceipt) -> bool {
        let tag = hex::decode(&receipt.signature);
        tag.is_ok_and(|tag| self.0.verify(receipt.content.signed_text(), &tag))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureReceipt {
    #[serde(flatten)]
    pub content: ErasureContent,
    /// HMAC-SHA256 of the content, in hexadecimal.
    pub signature: String,
}

/// The signed text consists of these fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureContent {
    pub submission_id: SubmissionId,
    /// RFC 3339.
    pub erased_at: String,
    pub erased_by: ErasedBy,
    pub reason: String,
    pub removed: RemovedData,
}

/// An account's address would be personal data, so accounts are identified by their id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedBy {
    /// Kind of actor, as in the audit log.
    pub kind: String,
    /// Id of the account, or the name of the operating-system user or the background task.
    pub id: String,
}

/// The number of removed values of each kind, and the removed files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedData {
    pub email_addresses: usize,
    pub comments: usize,
    pub notes: usize,
    pub results: usize,
    /// Error messages from LoopAI and mail servers.
    pub error_texts: usize,
    pub files: Vec<ErasedFile>,
    /// Ids of the executions at LoopAI, which may have its own copies of the photos, comments and results.
    pub loopai_executions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedFile {
    pub sha256: Sha256,
    /// Size in bytes.
    pub size: i64,
    /// Whether another submission has the same file. If so, its bytes were not removed.
    pub shared: bool,
}

impl ErasedBy {
    pub(super) fn of(actor: &Actor) -> Self {
        let id = actor.id.map_or_else(|| actor.name.clone(), |id| id.to_string());
        Self { kind: actor.kind.to_string(), id }
    }
}

impl ErasureContent {
    fn signed_text(&self) -> String {
        serde_json::to_string(self).expect("a receipt can be encoded as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> ErasureContent {
        let file = ErasedFile { sha256: Sha256::of(b"a photo"), size: 7, shared: false };
        ErasureContent {
            submission_id: SubmissionId::new(),
            erased_at: "2026-12-01T09:30:00.000Z".to_owned(),
            erased_by: ErasedBy { kind: "operator".to_owned(), id: "root".to_owned() },
            reason: "The patient asked for it".to_owned(),
            removed: RemovedData { results: 1, files: vec![file], ..RemovedData::default() },
        }
    }

    #[test]
    fn only_an_unchanged_receipt_is_valid_and_only_with_its_key() {
        let key = ReceiptKey::new(&"a secret".into());
        let receipt = key.sign(content());
        assert!(key.verifies(&receipt));
        let rotated = Keyring::new("another".into(), vec!["a secret".into()]);
        assert!(ReceiptKey::new(&rotated).verifies(&receipt));
        assert!(!ReceiptKey::new(&"another".into()).verifies(&receipt));
        let changes: [fn(&mut ErasureReceipt); 6] = [
            |it| it.content.submission_id = SubmissionId::new(),
            |it| it.content.erased_at = "2026-12-02T09:30:00.000Z".to_owned(),
            |it| it.content.reason.push('!'),
            |it| it.content.removed.results = 2,
            |it| it.content.removed.files[0].shared = true,
            |it| it.signature.truncate(62),
        ];
        for change in changes {
            let mut changed = receipt.clone();
            change(&mut changed);
            assert!(!key.verifies(&changed), "{changed:?}");
        }
    }

    #[test]
    fn a_receipt_remains_valid_after_its_json_is_reformatted() {
        let key = ReceiptKey::new(&"a secret".into());
        let pretty = serde_json::to_string_pretty(&key.sign(content())).expect("JSON");
        let sorted: serde_json::Value = serde_json::from_str(&pretty).expect("JSON");
        let parsed: ErasureReceipt = serde_json::from_value(sorted).expect("a receipt");
        assert!(key.verifies(&parsed));
    }
}
