//! Creates database rows directly through the store, without running workflows.

use crate::stack::AUDIT_KEY;
use diagflow_store::{
    Action, Actor, ActorKind, AuditKey, Consent, CreateOutcome, DiagnosisResult, EndStatus,
    NewAuditEntry, NewFile, NewSubmission, ObjectKind, RecipientLimits, RunEnd, RunKey, SUCCESS,
    Sha256, Store, SubmissionId, UserId,
};
use serde_json::{Map, json};
use std::time::Duration;

/// Stores a submission whose run will not be started during the test.
pub async fn submission(
    store: &Store,
    email: &str,
    comments: &str,
    submitted_by: Option<UserId>,
) -> RunKey {
    let id = SubmissionId::new();
    let photo = b"a photo";
    let file = NewFile {
        name: "photo.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: photo.len() as u64,
        sha256: Sha256::of(photo),
        cleaned_size: photo.len() as u64,
        cleaned_sha256: Sha256::of(photo),
    };
    let new = NewSubmission {
        id,
        email: email.parse().expect("an address"),
        comments: comments.to_owned(),
        consent: Consent { version: "2026-11".to_owned() },
        language: Default::default(),
        files: vec![file],
        start_grace: Duration::from_secs(24 * 60 * 60),
        submitted_by,
        audit_entry: None,
    };
    store.reserve_blobs(&[Sha256::of(photo)]).await.expect("reserved blobs");
    let outcome = store.create_submission(&new, RecipientLimits::default(), None).await;
    assert_eq!(outcome.expect("a stored submission"), CreateOutcome::Created);
    RunKey { submission: id, number: 1 }
}

pub async fn end(store: &Store, run: RunKey, outcome: EndStatus, code: &str) {
    let ending = RunEnd { status: outcome, code: code.to_owned(), detail: String::new() };
    store.end_run(run, &ending).await.expect("an ended run");
}

pub async fn complete(store: &Store, run: RunKey) {
    store.start_processing(run, 1, "an execution").await.expect("a started run");
    let result = json!({"summary": "=all is well"});
    let result = DiagnosisResult::new(result.as_object().expect("an object").clone());
    store.complete_run(run, &result).await.expect("a completed run");
}

pub fn audit_entry(action: Action) -> NewAuditEntry {
    let is_about_submission = action.to_string().starts_with("submission");
    NewAuditEntry {
        key: AuditKey::new(&AUDIT_KEY.into()),
        actor: Actor { kind: ActorKind::Operator, id: None, name: "tests".to_owned() },
        action,
        object_kind: if is_about_submission { ObjectKind::Submission } else { ObjectKind::User },
        object_id: String::new(),
        result: SUCCESS.to_owned(),
        address: String::new(),
        request_id: String::new(),
        details: Map::new(),
    }
}
