//! `GET /api/v1/audit`: who did what.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::response::ErrorBody;
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::extract::time_format;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{Action, AuditEntry, AuditFilter, ObjectKind};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

/// Lines of an answer, where nothing else is request for, and at most.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;
/// Longest text that a entry can have in any of its columns that are searched.
const MAX_TEXT_LENGTH: usize = 254;

/// What entries to find; what is not given does not matter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `AuditSearch` reads")]
pub(crate) struct AuditQuery {
    /// The account that did it.
    #[param(format = "uuid")]
    actor_id: Option<String>,
    /// The e-mail address of who did it, or who it claimed to be.
    actor: Option<String>,
    /// What was done, such as `submission_retry`.
    action: Option<String>,
    /// What kind of thing it was done to, such as `submission`.
    object_kind: Option<String>,
    /// The thing that it was done to.
    object_id: Option<String>,
    /// `success`, `unchanged`, `in_progress`, or the code of a refusal or failure.
    result: Option<String>,
    /// The request that did it.
    request_id: Option<String>,
    /// Not before this day or time.
    #[param(example = "2026-11-30")]
    from: Option<String>,
    /// Until the end of this day, or before this time.
    #[param(example = "2026-11-30T12:00:00Z")]
    to: Option<String>,
    /// Lines before the one of this number: the `next_before` of the last answer.
    before: Option<i64>,
    /// How many entries, at most 500. Default: 50.
    limit: Option<i64>,
}

/// What is request for.
pub(crate) struct AuditSearch {
    filter: AuditFilter,
    limit: i64,
    /// The parameters as they were given, for the audit of this very question.
    audit_details: Map<String, Value>,
}

impl FromParameters for AuditSearch {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut audit_details = Map::new();
        let mut given = AuditParameters { parameters, audit_details: &mut audit_details };
        let filter = AuditFilter {
            actor_id: given.parsed("actor_id"),
            actor: given.text("actor", char::is_control).map(|text| text.to_lowercase()),
            action: given.parsed("action"),
            object_kind: given.parsed("object_kind"),
            object_id: given.text("object_id", is_not_graphic),
            result: given.text("result", is_not_graphic),
            request_id: given.text("request_id", is_not_graphic),
            from: given.read("from", time_format::range_start),
            to: given.read("to", time_format::range_end),
            before: given.read("before", |text| parse_in_range(text, 1..=i64::MAX)),
        };
        let limit = given
            .read("limit", |text| parse_in_range(text, 1..=MAX_LIMIT))
            .unwrap_or(DEFAULT_LIMIT);
        Self { filter, limit, audit_details }
    }
}

/// Reads parameters, and remembers what was given.
struct AuditParameters<'a> {
    parameters: &'a mut Parameters,
    audit_details: &'a mut Map<String, Value>,
}

impl AuditParameters<'_> {
    fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let audit_details = &mut *self.audit_details;
        self.parameters.read(name, "parameter_invalid", |text| {
            audit_details.insert(name.to_owned(), text.into());
            parse(text)
        })
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.read(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A text without characters that no entry has there. The database would not compare them.
    fn text(&mut self, name: &'static str, is_wrong: impl Fn(char) -> bool) -> Option<String> {
        self.read(name, |text| {
            if text.len() > MAX_TEXT_LENGTH || text.contains(is_wrong) {
                return Err("No entry of the audit has such a text there".to_owned());
            }
            Ok(text.to_owned())
        })
    }
}

fn is_not_graphic(character: char) -> bool {
    !character.is_ascii_graphic()
}

fn parse_in_range(text: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("Write a number from {} to {}", range.start(), range.end()))
}

/// Lines of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest ones that fit, newest first.
    data: Vec<AuditEntryBody>,
    /// What to give as `before` for those that come next; none when there are no more.
    next_before: Option<i64>,
}

/// A entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEntryBody {
    /// Its place, from 1, without gaps.
    number: i64,
    /// When (UTC).
    #[schema(format = "date-time")]
    at: String,
    /// `user`, `service`, `operator` (at a command~entry) or `anonymous`.
    #[schema(example = "user")]
    actor_kind: String,
    /// The account.
    #[schema(format = "uuid")]
    actor_id: Option<String>,
    /// Its e-mail address, or the one that was claimed.
    actor: String,
    /// What was done.
    #[schema(example = "submission_retry")]
    action: String,
    /// What kind of thing it was done to.
    #[schema(example = "submission")]
    object_kind: String,
    /// Which; empty where there is none in particular.
    object_id: String,
    /// `success`; `unchanged` or `in_progress` where it was so already; of an export, `started` and then `success` or
    /// `interrupted`; or the code of the refusal or failure.
    #[schema(example = "success")]
    result: String,
    /// From where.
    address: String,
    /// The request, as in the log and in its answer.
    request_id: String,
    /// More, such as the reason that was given.
    #[schema(value_type = Object)]
    details: Value,
    /// Seals this entry together with the one before.
    hash: String,
}

impl From<AuditEntry> for AuditEntryBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            number: entry.number,
            at: time_format::rfc3339(entry.at),
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            actor: entry.actor_name,
            action: entry.action,
            object_kind: entry.object_kind,
            object_id: entry.object_id,
            result: entry.result,
            address: entry.address,
            request_id: entry.request_id,
            // One that was tampered with is shown as it is.
            details: serde_json::from_str(&entry.details).unwrap_or(Value::String(entry.details)),
            hash: entry.hash,
        }
    }
}

/// Finds entries of the audit. Asking for them is written down as well.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    params(AuditQuery),
    responses(
        (status = 200, description = "The newest entries that fit.", body = AuditResponse),
        (status = 400, description = "`invalid_query`: lists every fault", body = ErrorBody),
    ),
)]
pub(crate) async fn list_audit_entries(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(request): ValidQuery<AuditSearch>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<AuditResponse>)> {
    let store = &state.app.store;
    let entries = store.find_audit_entries(&request.filter, request.limit).await?;
    let entry = caller
        .audit_entry(Action::AuditView, ObjectKind::Service, "")
        .with("filter", request.audit_details);
    store.append_audit_entry(&entry).await?;
    let is_full = entries.len() as i64 >= request.limit;
    let next_before = entries.last().filter(|_| is_full).map(|entry| entry.number);
    let data = entries.into_iter().map(AuditEntryBody::from).collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(AuditResponse { success: true, data, next_before })))
}
