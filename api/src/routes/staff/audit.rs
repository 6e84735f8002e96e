use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::field_errors::FieldErrorCode;
use crate::extract::query::{FromParameters, Parameters, RecordedParameters, ValidQuery};
use crate::extract::time_format::{range_end, range_start};
use crate::openapi::names::{AuditAction, AuditActorKind, AuditObjectKind};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{
    Action, AuditEntry, AuditFilter, MAX_EMAIL_LENGTH, ObjectKind, SubmissionId, UtcTime,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use utoipa::openapi::path::Parameter;
use utoipa::{IntoParams, ToSchema};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;
/// Maximum length of a search value. The longest searchable column contains e-mail addresses.
const MAX_TEXT_LENGTH: usize = MAX_EMAIL_LENGTH;
const INVALID: FieldErrorCode = FieldErrorCode::ParameterInvalid;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `AuditSearch`")]
pub(crate) struct AuditQuery {
    /// Id of the account that performed the action.
    #[param(format = "uuid")]
    actor_id: Option<String>,
    /// E-mail address of the actor, or the address claimed by an anonymous client.
    actor: Option<String>,
    /// Name of the action.
    action: Option<AuditAction>,
    /// Kind of the object.
    object_kind: Option<AuditObjectKind>,
    /// Id of the object.
    object_id: Option<String>,
    /// Result: `success`, `unchanged`, `in_progress`, or an error code.
    result: Option<String>,
    /// Id of the request.
    request_id: Option<String>,
    /// Earliest time, as a UTC date or an RFC 3339 time.
    #[param(example = "2026-11-30")]
    from: Option<String>,
    /// Latest time, as a UTC date (inclusive) or an RFC 3339 time (exclusive).
    #[param(example = "2026-11-30T12:00:00Z")]
    to: Option<String>,
    /// Number before which to search: only entries with a lower number are returned. For the next page, use
    /// `next_before` from the previous response.
    before: Option<i64>,
    /// Maximum number of entries, 1 to 500. Default: 50.
    limit: Option<i64>,
}

pub(crate) struct AuditSearch {
    filter: AuditFilter,
    limit: i64,
    /// The search parameters, for the audit entry that records the search.
    audit_details: Map<String, Value>,
}

impl AuditSearch {
    /// Searches for the newest entries about a submission.
    pub(crate) fn about_submission(id: SubmissionId) -> Self {
        let filter = AuditFilter {
            object_kind: Some(ObjectKind::Submission),
            object_id: Some(id.to_string()),
            ..AuditFilter::default()
        };
        let mut audit_details = Map::new();
        audit_details.insert("object_kind".to_owned(), ObjectKind::Submission.to_string().into());
        audit_details.insert("object_id".to_owned(), id.to_string().into());
        Self { filter, limit: MAX_LIMIT, audit_details }
    }
}

impl FromParameters for AuditSearch {
    fn parameters() -> Vec<Parameter> {
        AuditQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut given = RecordedParameters::new(parameters);
        let filter = AuditFilter {
            actor_id: given.read("actor_id", INVALID, parsed),
            actor: given.read("actor", INVALID, |value| {
                text(value, char::is_control).map(|text| text.to_lowercase())
            }),
            action: given.read("action", INVALID, parsed),
            object_kind: given.read("object_kind", INVALID, parsed),
            object_id: given.read("object_id", INVALID, graphic),
            result: given.read("result", INVALID, graphic),
            request_id: given.read("request_id", INVALID, graphic),
            from: given.read("from", INVALID, range_start),
            to: given.read("to", INVALID, range_end),
            before: given.read("before", INVALID, |text| parse_in_range(text, 1..=i64::MAX)),
        };
        let limit = given.read("limit", INVALID, |text| parse_in_range(text, 1..=MAX_LIMIT));
        let audit_details = given.values;
        Self { filter, limit: limit.unwrap_or(DEFAULT_LIMIT), audit_details }
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Rejects texts with characters that no entry can contain, because the database cannot compare such texts.
fn text(text: &str, is_invalid: impl Fn(char) -> bool) -> Result<String, String> {
    if text.len() > MAX_TEXT_LENGTH || text.contains(is_invalid) {
        return Err("No audit entry can contain this value. Check it for typing errors.".to_owned());
    }
    Ok(text.to_owned())
}

fn graphic(value: &str) -> Result<String, String> {
    text(value, |character| !character.is_ascii_graphic())
}

fn parse_in_range(text: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("Use a number from {} to {}", range.start(), range.end()))
}

/// A page of audit entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The matching entries, newest first.
    pub(crate) data: Vec<AuditEntryBody>,
    /// Value of `before` for the next page. `null` on the last page.
    #[schema(required)]
    pub(crate) next_before: Option<i64>,
}

/// An audit entry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntryBody {
    /// Number of the entry. Entries are numbered from 1 without gaps.
    pub(crate) number: i64,
    /// Time of the action.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) at: UtcTime,
    /// Kind of the actor.
    #[schema(value_type = AuditActorKind)]
    pub(crate) actor_kind: String,
    /// Id of the account that performed the action.
    #[schema(required, format = "uuid")]
    pub(crate) actor_id: Option<String>,
    /// E-mail address of the account, or the address claimed by an anonymous client.
    pub(crate) actor: String,
    /// Machine-readable name of the action.
    #[schema(value_type = AuditAction)]
    pub(crate) action: String,
    /// Kind of the object.
    #[schema(value_type = AuditObjectKind)]
    pub(crate) object_kind: String,
    /// Id of the object. Empty if the action has no single object.
    pub(crate) object_id: String,
    /// Result of the action: `success`, an error code, or, if there was nothing to do, `unchanged` or `in_progress`. An
    /// export has two entries: first `started`, then `success` or `interrupted`.
    #[schema(example = "success")]
    pub(crate) result: String,
    /// IP address of the client.
    pub(crate) address: String,
    /// Id of the request, as shown in the response and the log.
    pub(crate) request_id: String,
    /// Details of the action, such as its reason.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub(crate) details: Value,
    /// Hash that covers this entry and the hash of the previous entry.
    pub(crate) hash: String,
}

impl From<AuditEntry> for AuditEntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            number: entry.number,
            at: entry.at,
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            actor: entry.actor_name,
            action: entry.action,
            object_kind: entry.object_kind,
            object_id: entry.object_id,
            result: entry.result,
            address: entry.address,
            request_id: entry.request_id,
            // If the details have been tampered with, they may not be valid JSON.
            details: serde_json::from_str(&entry.details).unwrap_or(Value::String(entry.details)),
            hash: entry.hash,
        }
    }
}

/// List audit entries
///
/// Returns the newest matching entries. Each search is itself recorded in the audit log.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    responses((status = 200, description = "The matching entries.", body = AuditResponse)),
)]
pub(crate) async fn list_audit_entries(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(search): ValidQuery<AuditSearch>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<AuditResponse>)> {
    let limit = search.limit;
    let data = search_audit(&state, &caller, search).await?;
    let is_full = data.len() as i64 >= limit;
    let next_before = data.last().filter(|_| is_full).map(|entry| entry.number);
    Ok(([(CACHE_CONTROL, "no-store")], Json(AuditResponse { success: true, data, next_before })))
}

/// Returns the newest matching entries, and records the search in the audit log.
pub(crate) async fn search_audit(
    state: &AppState,
    caller: &Caller,
    search: AuditSearch,
) -> ApiResult<Vec<AuditEntryBody>> {
    let store = &state.app.store;
    let entries = store.find_audit_entries(&search.filter, search.limit).await?;
    let entry = caller.audit_entry(Action::AuditView, ObjectKind::Service, "");
    store.append_audit_entry(&entry.with("filter", search.audit_details)).await?;
    Ok(entries.into_iter().map(AuditEntryBody::from).collect())
}
