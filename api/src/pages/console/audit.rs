//! The search in the audit log. The filters are the parameters of the API, so that an address can be shared.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::field_errors::FieldError;
use crate::error::{ApiError, ApiResult};
use crate::extract::query::ValidQuery;
use crate::pages::console::context::ConsoleContext;
use crate::pages::render::page;
use crate::routes::staff::audit::{AuditEntryBody, AuditSearch, list_audit_entries};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use diagflow_locales::Text;
use diagflow_store::{Action, ObjectKind};
use strum::VariantNames;

const FILTERS: [&str; 4] = ["actor", "action", "from", "to"];
/// The filters that are shown only on request, unless one of them is set.
const RARE_FILTERS: [&str; 5] = ["object_kind", "object_id", "result", "request_id", "actor_id"];

struct ShownError {
    /// Name of the filter, or an empty text if the error does not concern a filter.
    target: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditTemplate {
    page: ConsoleContext,
    actions: &'static [&'static str],
    object_kinds: &'static [&'static str],
    errors: Vec<ShownError>,
    entries: Vec<AuditEntryBody>,
    next_before: Option<i64>,
}

impl AuditTemplate {
    /// Returns the name and the label of the filter for an actor's address.
    fn actor_filter(&self) -> [(&'static str, Text); 1] {
        [("actor", self.page.text("console-audit-actor"))]
    }

    fn time_filters(&self) -> [(&'static str, Text); 2] {
        [("from", self.page.text("console-audit-from")), ("to", self.page.text("console-audit-to"))]
    }

    /// Returns the names and the labels of the other filters for texts.
    fn text_filters(&self) -> [(&'static str, Text); 4] {
        [
            ("object_id", self.page.text("console-audit-object-id")),
            ("actor_id", self.page.text("console-audit-actor-id")),
            ("result", self.page.text("console-audit-result")),
            ("request_id", self.page.text("console-audit-request-id")),
        ]
    }

    fn has_rare_filter(&self) -> bool {
        RARE_FILTERS.iter().any(|name| !self.page.parameter(name).is_empty())
    }

    fn is_filtered(&self) -> bool {
        let is_set = |name: &&str| !self.page.parameter(name).is_empty();
        self.has_rare_filter() || FILTERS.iter().any(is_set)
    }

    /// Returns the type of the control for a time, which the API accepts as a day or with the time of day.
    fn time_type(&self, name: &str) -> &'static str {
        if self.page.parameter(name).contains('T') { "text" } else { "date" }
    }

    fn has_error(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.target == name)
    }

    fn errors_of(&self, name: &str) -> Vec<&str> {
        let errors = self.errors.iter().filter(|error| error.target == name);
        errors.map(|error| error.text.as_str()).collect()
    }

    /// Returns the page of an entry's object, if there is one.
    fn object_page(&self, entry: &AuditEntryBody) -> Option<String> {
        let AuditEntryBody { object_kind, object_id, .. } = entry;
        let is = |kind: ObjectKind| *object_kind == kind.to_string() && !object_id.is_empty();
        if is(ObjectKind::Submission) {
            return Some(format!("/admin/submissions/{object_id}"));
        }
        is(ObjectKind::User).then(|| format!("/admin/users/{object_id}"))
    }

    fn details(&self, entry: &AuditEntryBody) -> String {
        serde_json::to_string_pretty(&entry.details).unwrap_or_default()
    }
}

pub(super) async fn search_audit_log(
    state: State<AppState>,
    caller: Caller,
    context: ConsoleContext,
    search: Result<ValidQuery<AuditSearch>, ApiError>,
) -> ApiResult<Response> {
    let mut template = AuditTemplate {
        page: context,
        actions: Action::VARIANTS,
        object_kinds: ObjectKind::VARIANTS,
        errors: Vec::new(),
        entries: Vec::new(),
        next_before: None,
    };
    match search {
        Ok(search) => {
            let (_, found) = list_audit_entries(state, caller, search).await?;
            template.entries = found.0.data;
            template.next_before = found.0.next_before;
            Ok(page(StatusCode::OK, &template))
        }
        Err(ApiError::InvalidQuery(errors)) => {
            let shown = errors.into_iter().map(|error| shown_error(&template.page, error));
            template.errors = shown.collect();
            Ok(page(StatusCode::BAD_REQUEST, &template))
        }
        Err(error) => Err(error),
    }
}

fn shown_error(page: &ConsoleContext, error: FieldError) -> ShownError {
    let text = page.language.text_for("console-field", error.code.into());
    let target = FILTERS.into_iter().chain(RARE_FILTERS).find(|name| *name == error.field);
    ShownError {
        target: target.unwrap_or_default(),
        text: text.map_or(error.message, String::from),
    }
}
