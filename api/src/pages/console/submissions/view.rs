use crate::auth::permissions::Permission;
use crate::error::field_errors::FieldError;
use crate::listing::filter::masked;
use crate::listing::page::{ListBody, MAX_SKIPPED, SubmissionSummaryBody};
use crate::pages::console::context::ConsoleContext;
use crate::pages::console::submissions::address::ListAddress;
use askama::Template;
use diagflow_store::{EmailState, Status, UserId};

/// The filters in the order of their chips, without those that the tabs show.
const FILTERS: [&str; 8] = [
    "email",
    "comments",
    "created_from",
    "created_to",
    "error_code",
    "email_state",
    "assignee",
    "deleted",
];
/// The filters that are fields of the form.
const FIELDS: [&str; 4] = ["email", "comments", "created_from", "created_to"];
/// The codes with which submissions end, most frequent first.
const FAILURES: [&str; 17] = [
    "loopai_failed",
    "deadline_exceeded",
    "loopai_repeated_failure",
    "loopai_paused",
    "loopai_refused",
    "loopai_unauthorized",
    "loopai_not_found",
    "loopai_redirected",
    "loopai_no_result",
    "loopai_unreadable",
    "loopai_response_too_large",
    "result_unreadable",
    "records_unreadable",
    "records_too_large",
    "records_rejected",
    "run_orphaned",
    "cancelled",
];
const DEFAULT_SORT: &str = "-created_at";
const PAGE_SIZES: [usize; 3] = [20, 50, 100];

pub(super) struct ShownError {
    /// The field of the form, or an empty text.
    target: &'static str,
    text: String,
}

pub(super) fn shown_errors(page: &ConsoleContext, errors: &[FieldError]) -> Vec<ShownError> {
    let shown = |error: &FieldError| {
        let text = page.language.text_for("console-list-error", error.code.into());
        let text = text.unwrap_or_else(|| page.text("console-list-error-other"));
        let target = FIELDS.iter().find(|field| **field == error.field);
        ShownError { target: target.copied().unwrap_or_default(), text: text.to_string() }
    };
    errors.iter().map(shown).collect()
}

/// A link to the submissions in one state.
struct Tab {
    text: String,
    address: String,
    /// Number of submissions. Absent if other filters apply, because the counters do not consider them.
    count: Option<i64>,
    is_current: bool,
}

/// A filter in use, with the address of the list without it.
struct Chip {
    name: String,
    value: String,
    address: String,
}

#[derive(Template)]
#[template(path = "console/submissions.html")]
pub(super) struct SubmissionsTemplate {
    pub(super) page: ConsoleContext,
    pub(super) address: ListAddress,
    pub(super) own_id: UserId,
    pub(super) counts: Vec<(Status, i64)>,
    /// Number of submissions with a stuck run.
    pub(super) stuck: i64,
    /// Absent if the filters are invalid.
    pub(super) list: Option<ListBody>,
    pub(super) errors: Vec<ShownError>,
}

impl SubmissionsTemplate {
    fn tabs(&self) -> Vec<Tab> {
        let (status, is_stuck) = (self.address.value("status"), self.address.value("stuck"));
        let has_counts = FILTERS.iter().all(|name| self.address.value(name).is_empty());
        let tab = |text, given: [&str; 2], count| Tab {
            text,
            address: self.address.with(&[("status", given[0]), ("stuck", given[1])]),
            count: has_counts.then_some(count),
            is_current: given == [status, is_stuck],
        };
        let all = self.counts.iter().map(|(_, count)| count).sum();
        let all = tab(self.page.text("console-list-all").to_string(), ["", ""], all);
        let by_status = self.counts.iter().map(|(status, count)| {
            tab(self.page.text_for("common-status", status.name()), [status.name(), ""], *count)
        });
        let stuck =
            tab(self.page.text("common-status-stuck").to_string(), ["", "true"], self.stuck);
        [all].into_iter().chain(by_status).chain([stuck]).collect()
    }

    fn chips(&self) -> Vec<Chip> {
        // The tabs show a single state.
        let statuses = Some("status").filter(|name| self.address.value(name).contains(','));
        let names = statuses.into_iter().chain(FILTERS);
        let used = names.filter(|name| !self.address.value(name).is_empty());
        let chip = |name| Chip {
            name: self.page.text_for("console-list-filter", name),
            value: self.filter_text(name),
            address: self.address.with(&[(name, "")]),
        };
        used.map(chip).collect()
    }

    /// Returns the value of a filter in words.
    fn filter_text(&self, name: &str) -> String {
        let value = self.address.value(name);
        let words = |prefix: &str| {
            let words = value.split(',').map(|code| self.page.text_for(prefix, code.trim()));
            words.collect::<Vec<_>>().join(", ")
        };
        match name {
            "status" => words("common-status"),
            "error_code" => words("console-failure"),
            "email_state" => words("console-email-state"),
            "deleted" => words("console-list-deleted"),
            "assignee" => self.assignee_text(value),
            _ => value.to_owned(),
        }
    }

    fn assignee_text(&self, id: &str) -> String {
        if id == self.own_id.to_string() {
            return self.page.text("console-list-you").to_string();
        }
        let first = self.list.iter().flat_map(|list| &list.data).next();
        let name = first.and_then(|item| item.assignee_name.clone().flatten());
        name.unwrap_or_else(|| id.to_owned())
    }

    fn is_invalid(&self, field: &str) -> bool {
        self.errors.iter().any(|error| error.target == field)
    }

    fn has_value(&self, name: &str, value: &str) -> bool {
        self.address.value(name) == value
    }

    /// Whether only the caller's own submissions are listed.
    fn is_mine(&self) -> bool {
        self.has_value("assignee", &self.own_id.to_string())
    }

    fn address_of_mine(&self) -> String {
        let id = if self.is_mine() { String::new() } else { self.own_id.to_string() };
        self.address.with(&[("assignee", &id)])
    }

    fn is_filtered(&self) -> bool {
        ["status", "stuck"].iter().chain(&FILTERS).any(|name| !self.address.value(name).is_empty())
    }

    /// Whether a filter is used that only the extended form contains.
    fn has_more_filters(&self) -> bool {
        FILTERS.iter().filter(|name| **name != "email").any(|it| !self.address.value(it).is_empty())
    }

    /// Returns the type of a date's field. A filter may also contain a time.
    fn date_type(&self, name: &str) -> &'static str {
        if self.address.value(name).contains('T') { "text" } else { "date" }
    }

    fn failures(&self) -> Vec<&str> {
        let used = self.address.value("error_code");
        let other = Some(used).filter(|used| !used.is_empty() && !FAILURES.contains(used));
        FAILURES.into_iter().chain(other).collect()
    }

    fn email_states(&self) -> Vec<String> {
        let used = self.address.value("email_state");
        let several = Some(used.to_owned()).filter(|used| used.contains(','));
        EmailState::SEARCHABLE.iter().map(ToString::to_string).chain(several).collect()
    }

    fn may(&self, permission: &str) -> bool {
        self.page.has_permission(match permission {
            "cancel" => Permission::SubmissionsCancel,
            "retry" => Permission::SubmissionsRetry,
            "resend" => Permission::DeliveriesResend,
            "search_comments" => Permission::ClinicalRead,
            _ => Permission::SubmissionsDelete,
        })
    }

    /// Whether rows can be selected for an action. Deleted submissions have to be restored first.
    fn has_actions(&self) -> bool {
        let is_allowed = ["cancel", "retry", "resend"].iter().any(|it| self.may(it));
        is_allowed && ["", "without"].contains(&self.address.value("deleted"))
    }

    fn masked(&self, address: &str) -> String {
        masked(address)
    }

    /// Returns the beginning of a submission's id, by which staff recognise it in logs.
    fn short_id(&self, item: &SubmissionSummaryBody) -> String {
        item.id.to_string().chars().take(8).collect()
    }

    fn is_stuck(&self, item: &SubmissionSummaryBody) -> bool {
        item.stuck == Some(true)
    }

    /// Returns the code of the failure. For a cancellation, the status is enough.
    fn failure<'a>(&self, item: &'a SubmissionSummaryBody) -> Option<&'a str> {
        item.error_code.as_deref().filter(|code| *code != "cancelled")
    }

    fn is_own(&self, item: &SubmissionSummaryBody) -> bool {
        item.assignee.flatten() == Some(self.own_id)
    }

    fn sort(&self) -> &str {
        Some(self.address.value("sort")).filter(|sort| !sort.is_empty()).unwrap_or(DEFAULT_SORT)
    }

    fn sortable_columns(&self) -> [(&'static str, String); 2] {
        [
            ("created_at", self.page.text("console-list-received").to_string()),
            ("updated_at", self.page.text("console-list-updated").to_string()),
        ]
    }

    /// Returns the value of `aria-sort` for a column.
    fn sort_direction(&self, column: &str) -> &'static str {
        match self.sort().strip_prefix('-') {
            Some(sorted) if sorted == column => "descending",
            None if self.sort() == column => "ascending",
            _ => "none",
        }
    }

    /// Returns the address of the list sorted by a column: newest first, unless it already is.
    fn sorted_by(&self, column: &str) -> String {
        let descending = format!("-{column}");
        let sort = if self.sort() == descending { column } else { &descending };
        self.address.with(&[("sort", if sort == DEFAULT_SORT { "" } else { sort })])
    }

    fn page_sizes(&self) -> Vec<(usize, String)> {
        let address = |size: usize| self.address.with(&[("per_page", &size.to_string())]);
        PAGE_SIZES.iter().map(|size| (*size, address(*size))).collect()
    }

    fn is_page_size(&self, list: &ListBody, size: &usize) -> bool {
        list.pagination.per_page == *size
    }

    fn is_first_page(&self, list: &ListBody) -> bool {
        list.pagination.page == Some(1)
    }

    fn pages(&self, list: &ListBody) -> usize {
        usize::try_from(list.pagination.total)
            .unwrap_or_default()
            .div_ceil(list.pagination.per_page)
    }

    fn previous_page(&self, list: &ListBody) -> Option<String> {
        match list.pagination.page {
            Some(page) if page > 1 => Some(self.address.with(&[("page", &(page - 1).to_string())])),
            Some(_) => None,
            None => Some(self.address.with(&[("cursor", list.pagination.prev_cursor.as_deref()?)])),
        }
    }

    /// Returns the address of the next page, which has a number up to the limit of the API, and then a cursor.
    fn next_page(&self, list: &ListBody) -> Option<String> {
        let cursor = list.pagination.next_cursor.as_deref()?;
        Some(match list.pagination.page {
            Some(page) if page * list.pagination.per_page <= MAX_SKIPPED => {
                self.address.with(&[("page", &(page + 1).to_string())])
            }
            _ => self.address.with(&[("cursor", cursor)]),
        })
    }
}
