//! Schema of `diagflow_store::ErasureReceipt`.

use crate::openapi::names::AuditActorKind;
use utoipa::ToSchema;

/// Signed receipt for an erasure. It contains no personal data of the patient.
#[derive(ToSchema)]
#[schema(as = ErasureReceipt)]
#[expect(dead_code, reason = "documents a type defined in the store")]
pub(crate) struct ErasureReceiptBody {
    /// Id of the submission.
    #[schema(format = "uuid")]
    submission_id: String,
    /// Time of the erasure.
    #[schema(format = "date-time")]
    erased_at: String,
    erased_by: ErasedByBody,
    /// Reason for the erasure.
    reason: String,
    removed: RemovedDataBody,
    /// Hexadecimal HMAC-SHA256 of all other fields.
    signature: String,
}

/// Who erased the submission.
#[derive(ToSchema)]
#[schema(as = ErasedBy)]
#[expect(dead_code, reason = "documents a type defined in the store")]
struct ErasedByBody {
    /// Kind of actor, as in the audit log.
    kind: AuditActorKind,
    /// Id of the account, or the name of the operating-system user or the background task.
    id: String,
}

/// The data that was removed.
#[derive(ToSchema)]
#[schema(as = RemovedData)]
#[expect(dead_code, reason = "documents a type defined in the store")]
struct RemovedDataBody {
    /// Number of e-mail addresses.
    email_addresses: usize,
    /// Number of comments.
    comments: usize,
    /// Number of staff notes.
    notes: usize,
    /// Number of results.
    results: usize,
    /// Number of error messages from LoopAI and mail servers.
    error_texts: usize,
    /// Files, in the order they were uploaded.
    files: Vec<ErasedFileBody>,
    /// Ids of the executions at LoopAI, which may still have its own copies of the data.
    loopai_executions: Vec<String>,
}

/// A file that was removed.
#[derive(ToSchema)]
#[schema(as = ErasedFile)]
#[expect(dead_code, reason = "documents a type defined in the store")]
struct ErasedFileBody {
    /// SHA-256 of the content.
    sha256: String,
    /// Size in bytes.
    size: i64,
    /// Whether another submission has the same file. If so, its content was not removed.
    shared: bool,
}
