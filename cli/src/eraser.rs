//! Creates the [`Eraser`] from the settings. Receipts are signed with a key derived from `AUDIT_KEY`.

use diagflow_store::{
    AuditKey, BlobStore, Eraser, ErasureLog, ErasureSettings, Keyring, ReceiptKey, Store,
};

pub(crate) fn eraser(
    store: Store,
    blobs: BlobStore,
    audit_keys: &Keyring,
    settings: &ErasureSettings,
) -> Eraser {
    let log = settings.log.clone().map(ErasureLog::new);
    Eraser::new(store, blobs, ReceiptKey::new(audit_keys), AuditKey::new(audit_keys), log)
}
