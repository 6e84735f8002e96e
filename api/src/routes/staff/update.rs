use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult};
use crate::extract::body::Body;
use crate::extract::if_match::{IfMatch, etag};
use crate::extract::line_breaks::normalize_line_breaks;
use crate::extract::path_id::PathId;
use crate::extract::reason::Reason;
use crate::openapi::error_responses::errors;
use crate::routes::staff::resend::MailResendOutcome;
use axum::Json;
use axum::extract::State;
use axum_extra::TypedHeader;
use axum_extra::headers::ETag;
use diagflow_store::{
    Action, DeliveryId, EmailAddress, NewAuditEntry, ObjectKind, ResendOutcome, Role, Submission,
    SubmissionChange, SubmissionId, UpdateOutcome, UpdatedSubmission, UserId,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Changes to a submission. Absent fields are left unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmissionUpdateRequest {
    /// Corrected e-mail address of the patient. Requires the `submissions:correct` permission and the `reason` field.
    #[schema(example = "ana@example.org")]
    email: Option<String>,
    /// Whether to send the latest e-mail to the corrected address, even if it has already been sent to another address.
    /// Requires the `email` field and the `deliveries:resend` permission. Default: `false`.
    #[serde(default)]
    #[schema(example = true)]
    resend: bool,
    /// Reason for the correction, 1 to 500 characters. The reason is stored in the audit log, so do not include medical
    /// information or an e-mail address.
    #[schema(
        example = "The patient called: the address was mistyped",
        min_length = 1,
        max_length = 500
    )]
    reason: Option<String>,
    /// Staff note, at most 1,000 characters. `null` removes the note. Do not include medical information.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, example = "Call back on Monday", max_length = 1000)]
    note: Option<Option<String>>,
    /// Id of the account to which the submission is assigned. The account must be enabled and have the
    /// `submissions:read` permission. `null` removes the assignment.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(
        value_type = Option<String>,
        format = "uuid",
        example = "5a0d3c1e-2f4b-4c6d-8e7f-9a0b1c2d3e4f"
    )]
    assignee: Option<Option<String>>,
}

/// Distinguishes `null` from an absent field.
fn nullable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The fields of a submission that staff can edit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubmissionUpdateResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// Id of the submission.
    #[schema(value_type = String, format = "uuid")]
    submission_id: SubmissionId,
    /// E-mail address of the patient.
    #[schema(example = "ana@example.org")]
    email: String,
    /// E-mail address the patient originally entered, if staff have since corrected it; otherwise `null`.
    #[schema(required)]
    original_email: Option<String>,
    /// Staff note.
    #[schema(required)]
    note: Option<String>,
    /// Id of the account to which the submission is assigned.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    assignee: Option<UserId>,
    /// The e-mail that will be sent to the corrected address. `null` if no e-mail was requested or no e-mail is due
    /// yet.
    #[schema(required)]
    resend: Option<ResentEmail>,
}

/// An e-mail that will be sent to a corrected address.
#[derive(Debug, Serialize, ToSchema)]
struct ResentEmail {
    /// Id of the delivery.
    #[schema(value_type = String, format = "uuid")]
    delivery_id: DeliveryId,
    /// Outcome of the request. `planned`: a new copy will be sent. `in_progress`: the e-mail had not been sent yet and
    /// will go to the new address.
    outcome: MailResendOutcome,
}

errors!(UpdateSubmissionErrors: ReasonRequired);

/// Update a submission
///
/// Corrects the patient's e-mail address, or sets the note or assignee. Unsent e-mails go to the new address. With
/// `resend`, a copy of the latest e-mail is sent there as well. An e-mail that is already being sent may still arrive
/// at the previous address. Links in e-mails that may have gone to the previous address stop working, but somebody who
/// has already used one keeps access until the submission's access token is revoked, which also ends the patient's
/// access. The `If-Match` header prevents staff from overwriting each other's changes.
#[utoipa::path(
    patch,
    path = "/api/admin/submissions/{id}",
    tag = "staff",
    responses(
        (
            status = 200,
            description = "The updated fields.",
            body = SubmissionUpdateResponse,
            headers(("ETag" = String, description = "Revision of the editable fields, for the next `If-Match`.")),
        ),
        UpdateSubmissionErrors,
    ),
)]
pub(crate) async fn update_submission(
    State(state): State<AppState>,
    caller: Caller,
    PathId(id): PathId<SubmissionId>,
    if_match: IfMatch,
    Body(request): Body<SubmissionUpdateRequest>,
) -> ApiResult<(TypedHeader<ETag>, Json<SubmissionUpdateResponse>)> {
    let entry = caller.audit_entry(Action::SubmissionUpdate, ObjectKind::Submission, id);
    if !is_permitted(&caller, &request) {
        return Err(refuse(&state, entry, ApiError::Forbidden).await);
    }
    let reason = reason(&request)?;
    let change = request.validate(state.app.settings.smtputf8).map_err(ApiError::InvalidInput)?;
    let entry = match reason {
        Some(Reason(reason)) => entry.with("reason", reason),
        None => entry,
    };
    match apply(&state, id, &if_match, &change, &entry).await {
        Ok(UpdatedSubmission { submission, resent }) => {
            if let Some(ResendOutcome::Planned(_)) = resent {
                state.app.dispatch.wake_reconciler();
            }
            let body = SubmissionUpdateResponse::of(&submission, resent);
            Ok((TypedHeader(etag(submission.revision)), Json(body)))
        }
        Err(error) if error.is_client_error() => Err(refuse(&state, entry, error).await),
        Err(error) => Err(error),
    }
}

/// Whether the caller may set `email` and `resend`. The route's guard checks only the permission required for the other
/// fields.
fn is_permitted(caller: &Caller, request: &SubmissionUpdateRequest) -> bool {
    let required = [
        (request.email.is_some(), Permission::SubmissionsCorrect),
        (request.resend, Permission::DeliveriesResend),
    ];
    required.into_iter().all(|(needed, permission)| !needed || caller.has_permission(permission))
}

fn reason(request: &SubmissionUpdateRequest) -> ApiResult<Option<Reason>> {
    let needed = request.email.is_some() || request.reason.is_some();
    needed.then(|| Reason::parse(request.reason.clone())).transpose()
}

async fn apply(
    state: &AppState,
    id: SubmissionId,
    if_match: &IfMatch,
    change: &SubmissionChange,
    entry: &NewAuditEntry,
) -> ApiResult<UpdatedSubmission> {
    let store = &state.app.store;
    let found = store.submission(id).await?.filter(|found| found.deleted_at.is_none());
    let revision = found.ok_or(ApiError::NotFound)?.revision;
    if !if_match.allows(revision) {
        return Err(ApiError::PreconditionFailed);
    }
    let can_read = |role: &Role| Permission::of(*role).contains(&Permission::SubmissionsRead);
    let assignable: Vec<_> = Role::ALL.iter().copied().filter(can_read).collect();
    let expected = (!if_match.is_any()).then_some(revision);
    match store.update_submission(id, expected, change, &assignable, entry).await? {
        UpdateOutcome::Updated(updated) => Ok(*updated),
        UpdateOutcome::RevisionChanged => Err(ApiError::PreconditionFailed),
        UpdateOutcome::AssigneeNotFound => Err(ApiError::InvalidInput(vec![assignee_error()])),
        UpdateOutcome::NotFound => Err(ApiError::NotFound),
    }
}

fn assignee_error() -> FieldError {
    let message = "Choose an enabled account that can read submissions".to_owned();
    FieldError { field: "assignee".to_owned(), code: FieldErrorCode::AssigneeInvalid, message }
}

impl SubmissionUpdateRequest {
    fn validate(self, smtputf8: bool) -> Result<SubmissionChange, Vec<FieldError>> {
        let mut errors = Vec::new();
        if self.resend && self.email.is_none() {
            let message = "resend requires email: send the corrected address too".to_owned();
            let (field, code) = ("resend".to_owned(), FieldErrorCode::FieldInvalid);
            errors.push(FieldError { field, code, message });
        }
        let mut record = |error| errors.push(error);
        let email = self.email.map(|text| email(&text, smtputf8)).transpose();
        let email = email.map_err(&mut record).ok().flatten();
        let note = self.note.map(|text| note(&text.unwrap_or_default())).transpose();
        let note = note.map_err(&mut record).ok().flatten();
        let assignee = self.assignee.map(|id| id.map(|id| id.parse()).transpose()).transpose();
        let assignee = assignee.map_err(|_| record(assignee_error())).ok().flatten();
        match errors.is_empty() {
            true => Ok(SubmissionChange { email, resend: self.resend, note, assignee }),
            false => Err(errors),
        }
    }
}

fn email(text: &str, smtputf8: bool) -> Result<EmailAddress, FieldError> {
    let error = |code, message: &str| {
        let (field, message) = ("email".to_owned(), message.to_owned());
        FieldError { field, code, message }
    };
    let parsed = text.parse::<EmailAddress>().map_err(|_| {
        let message = "Invalid email format. Check the address for typing errors.";
        error(FieldErrorCode::EmailInvalid, message)
    })?;
    if parsed.needs_smtputf8() && !smtputf8 {
        let message = "The mail server accepts only the letters a to z before the @. Ask the \
                       patient for another address.";
        return Err(error(FieldErrorCode::EmailNotSupported, message));
    }
    Ok(parsed)
}

/// Returns `None` if the text is empty.
fn note(text: &str) -> Result<Option<String>, FieldError> {
    let note = normalize_line_breaks(text.trim());
    let error = |code, message| FieldError { field: "note".to_owned(), code, message };
    if note.chars().count() > Submission::MAX_NOTE_LENGTH {
        let message =
            format!("The note exceeds {} characters. Shorten it.", Submission::MAX_NOTE_LENGTH);
        return Err(error(FieldErrorCode::NoteTooLong, message));
    }
    let is_text = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
    if !note.chars().all(is_text) {
        let message = "The note must not contain control characters".to_owned();
        return Err(error(FieldErrorCode::NoteInvalid, message));
    }
    Ok(Some(note.into_owned()).filter(|note| !note.is_empty()))
}

impl SubmissionUpdateResponse {
    fn of(submission: &Submission, resent: Option<ResendOutcome>) -> Self {
        let resend = match resent {
            Some(ResendOutcome::Planned(id)) => Some((id, MailResendOutcome::Planned)),
            Some(ResendOutcome::InProgress(id)) => Some((id, MailResendOutcome::InProgress)),
            Some(ResendOutcome::Superseded | ResendOutcome::NotFound) | None => None,
        };
        Self {
            success: true,
            submission_id: submission.id,
            email: submission.email.to_string(),
            original_email: submission.original_email.as_ref().map(EmailAddress::to_string),
            note: submission.note.clone(),
            assignee: submission.assignee,
            resend: resend.map(|(delivery_id, outcome)| ResentEmail { delivery_id, outcome }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn change(body: Value) -> Result<SubmissionChange, Vec<(String, FieldErrorCode)>> {
        let request: SubmissionUpdateRequest = serde_json::from_value(body).expect("a request");
        request
            .validate(false)
            .map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect())
    }

    #[test]
    fn null_clears_a_field_and_an_absent_field_is_not_changed() {
        let empty = change(json!({})).expect("valid");
        assert_eq!((empty.note, empty.assignee), (None, None));
        let nulls = change(json!({"note": null, "assignee": null})).expect("valid");
        assert_eq!((nulls.note, nulls.assignee), (Some(None), Some(None)));
        let blank = change(json!({"note": " \r\n"})).expect("valid");
        assert_eq!(blank.note, Some(None));
    }

    #[test]
    fn a_line_break_in_a_note_counts_as_one_character() {
        let full = format!("{}x", "x\r\n".repeat(499));
        let note = change(json!({"note": full})).expect("valid").note;
        assert_eq!(note, Some(Some(format!("{}x", "x\n".repeat(499)))));
    }

    #[test]
    fn all_errors_of_an_update_are_reported_at_once() {
        let errors = change(json!({
            "email": "me@host", "note": "x".repeat(1001), "assignee": "ana@example.org",
        }));
        let expected = [
            ("email", FieldErrorCode::EmailInvalid),
            ("note", FieldErrorCode::NoteTooLong),
            ("assignee", FieldErrorCode::AssigneeInvalid),
        ];
        let expected = expected.map(|(field, code)| (field.to_owned(), code));
        assert_eq!(errors.expect_err("invalid"), expected);
        for (body, field, code) in [
            (json!({"resend": true}), "resend", FieldErrorCode::FieldInvalid),
            (json!({"note": "a\u{0}b"}), "note", FieldErrorCode::NoteInvalid),
            (json!({"email": "ünal@example.org"}), "email", FieldErrorCode::EmailNotSupported),
        ] {
            assert_eq!(change(body).expect_err("invalid"), [(field.to_owned(), code)]);
        }
    }
}
