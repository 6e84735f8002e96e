//! What every page of the console needs.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiError, ErrorCode};
use crate::pages::console::device::device_name;
use crate::pages::console::numbers;
use crate::pages::context::PageContext;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use diagflow_store::Role;
use std::borrow::Borrow;
use std::borrow::Cow;
use std::ops::Deref;
use strum::IntoEnumIterator;
use url::form_urlencoded;

/// The pages in the navigation, with the permission that each requires. The first page that the caller may open is the
/// start page of the console.
const AREAS: [(&str, &str, Permission); 6] = [
    ("submissions", "/admin", Permission::SubmissionsRead),
    ("overview", "/admin/overview", Permission::SubmissionsRead),
    ("users", "/admin/users", Permission::UsersRead),
    ("audit", "/admin/audit", Permission::AuditRead),
    ("settings", "/admin/settings", Permission::SettingsRead),
    ("health", "/admin/health", Permission::ServiceRead),
];

/// The path under which submissions have their pages.
const SUBMISSIONS: &str = "/admin/submissions/";
pub(crate) const ACCOUNT: &str = "/account";

/// What every page of the console needs: the language, the address and the caller. Templates use it like a
/// [`PageContext`].
#[derive(Debug, Clone)]
pub(crate) struct ConsoleContext {
    page: PageContext,
    /// Name of the caller.
    pub(crate) name: String,
    role: Role,
}

/// An entry of the navigation.
pub(crate) struct NavigationEntry {
    pub(crate) path: &'static str,
    pub(crate) text: String,
    pub(crate) is_current: bool,
}

impl ConsoleContext {
    pub(crate) fn new(page: PageContext, name: &str, role: Role) -> Self {
        Self { page, name: name.to_owned(), role }
    }

    pub(crate) fn has_permission(&self, permission: Permission) -> bool {
        Permission::of(self.role).contains(&permission)
    }

    pub(crate) fn role_name(&self) -> String {
        self.role_text(self.role)
    }

    pub(crate) fn role_text(&self, role: impl ToString) -> String {
        self.text_for("console-role", &role.to_string())
    }

    /// Describes what accounts with a role may do.
    pub(crate) fn role_meaning(&self, role: impl ToString) -> String {
        self.text_for("console-role-meaning", &role.to_string())
    }

    /// Returns a parameter of the page's address, or an empty text.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let query = self.address.split_once('?').map_or("", |(_, query)| query);
        let mut given = form_urlencoded::parse(query.as_bytes());
        let found = given.find(|(given, _)| given == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// Returns the page's address with another value for one parameter, or without it if the value is empty.
    pub(crate) fn address_with(&self, name: &str, value: impl ToString) -> String {
        let (path, query) = self.address.split_once('?').unwrap_or((&self.address, ""));
        let given = form_urlencoded::parse(query.as_bytes());
        let others = given.filter(|(given, _)| given != name);
        let changed = (Cow::from(name), Cow::from(value.to_string()));
        let all = others.chain([changed]).filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// Returns a whole number with separators, such as "1,204".
    pub(crate) fn number(&self, value: impl Borrow<i64>) -> String {
        numbers::number(self.language, *value.borrow())
    }

    /// Returns a share from 0 to 1 as a percentage, such as "12.5%".
    pub(crate) fn percent(&self, share: impl Borrow<f64>) -> String {
        numbers::percent(self.language, *share.borrow())
    }

    /// Returns a time such as "2 min 5 s".
    pub(crate) fn duration(&self, seconds: impl Borrow<f64>) -> String {
        numbers::duration(self.language, *seconds.borrow())
    }

    /// Returns the browser and the operating system of a user agent.
    pub(crate) fn device(&self, user_agent: &str) -> String {
        if user_agent.is_empty() {
            return self.text("console-session-unknown").to_string();
        }
        device_name(user_agent)
    }

    /// Returns the entries that the caller may open.
    pub(crate) fn navigation(&self) -> Vec<NavigationEntry> {
        let current = self.current_path();
        let allowed = AREAS.iter().filter(|(_, _, permission)| self.has_permission(*permission));
        let entry = |(name, path, _): &(&str, &'static str, Permission)| NavigationEntry {
            path,
            text: self.text_for("console-area", name),
            is_current: current == Some(*path),
        };
        allowed.map(entry).collect()
    }

    /// Returns the first page that the caller may open.
    pub(crate) fn home(&self) -> &'static str {
        let mut areas = AREAS.iter();
        let first = areas.find(|(_, _, permission)| self.has_permission(*permission));
        first.map_or(ACCOUNT, |(_, path, _)| path)
    }

    /// Returns the path of the navigation's entry to which this page belongs.
    fn current_path(&self) -> Option<&'static str> {
        let path = self.address.split('?').next().unwrap_or_default();
        if path.starts_with(SUBMISSIONS) {
            return Some(AREAS[0].1);
        }
        let is_part = |area: &str| {
            path == area || (area != AREAS[0].1 && path.starts_with(&format!("{area}/")))
        };
        AREAS.iter().find(|(_, area, _)| is_part(area)).map(|(_, area, _)| *area)
    }

    /// Returns the texts that scripts show for the codes of errors, each with the name under which scripts find it.
    pub(crate) fn script_texts(&self) -> Vec<(String, String)> {
        error_texts(self)
    }
}

/// Returns the text for each code of an error and of a field error, and the texts around them.
pub(crate) fn error_texts(page: &PageContext) -> Vec<(String, String)> {
    let language = page.language;
    let codes = ErrorCode::iter().map(<&str>::from).chain(["network", "unknown"]);
    let errors = codes.map(|code| ("error", code, language.text_for("console-error", code)));
    let codes = FieldErrorCode::iter().map(<&str>::from);
    let fields = codes.map(|code| ("field", code, language.text_for("console-field", code)));
    // Scripts replace the variables.
    let found = errors.chain(fields).filter_map(|(prefix, code, text)| {
        let text = text?.arg("duration", "{duration}").arg("matched", "{matched}");
        Some((format!("{prefix}-{code}"), text.to_string()))
    });
    let of_forms = [
        ("problem", page.text("common-error-summary")),
        ("problem-title", page.text("common-title-with-error").arg("title", "{title}")),
        ("problem-prefix", page.text("common-error")),
    ];
    found.chain(of_forms.map(|(name, text)| (name.to_owned(), text.to_string()))).collect()
}

impl Deref for ConsoleContext {
    type Target = PageContext;

    fn deref(&self) -> &PageContext {
        &self.page
    }
}

impl FromRequestParts<AppState> for ConsoleContext {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Ok(page) = PageContext::from_request_parts(parts, state).await;
        Ok(Self::new(page, &caller.user.name, caller.user.role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_locales::Language;
    use diagflow_store::{Action, ObjectKind};
    use strum::VariantNames;

    fn context(address: &str, role: Role) -> ConsoleContext {
        let page = PageContext { language: Language::English, address: address.to_owned() };
        ConsoleContext::new(page, "Ana", role)
    }

    #[test]
    fn each_page_is_current_in_exactly_one_entry_of_the_navigation() {
        for (address, expected) in [
            ("/admin", Some("/admin")),
            ("/admin?status=failed", Some("/admin")),
            ("/admin/submissions/1", Some("/admin")),
            ("/admin/overview", Some("/admin/overview")),
            ("/admin/users/1?page=2", Some("/admin/users")),
            ("/admin/audit?actor=a", Some("/admin/audit")),
            ("/account", None),
            ("/admin/styleguide", None),
        ] {
            let entries = context(address, Role::Admin).navigation();
            let mut current = entries.iter().filter(|it| it.is_current).map(|it| it.path);
            assert_eq!(current.next(), expected, "{address}");
            assert_eq!(current.next(), None, "{address}");
        }
    }

    #[test]
    fn one_parameter_of_the_address_is_replaced() {
        let page = context("/admin/users?search=a%26b&role=&page=2", Role::Admin);
        assert_eq!(page.parameter("search"), "a&b");
        assert_eq!(page.parameter("other"), "");
        assert_eq!(page.address_with("page", 3), "/admin/users?search=a%26b&page=3");
        assert_eq!(context("/admin", Role::Admin).address_with("page", 2), "/admin?page=2");
        assert_eq!(context("/admin?page=2", Role::Admin).address_with("page", ""), "/admin");
    }

    #[test]
    fn the_navigation_contains_only_pages_that_the_role_may_open() {
        let paths = |role| context("/account", role).navigation().into_iter().map(|it| it.path);
        let all = paths(Role::Admin).collect::<Vec<_>>();
        assert_eq!(all, AREAS.map(|(_, path, _)| path));
        let operator = paths(Role::Operator).collect::<Vec<_>>();
        assert_eq!(operator, ["/admin", "/admin/overview", "/admin/health"]);
        assert_eq!(paths(Role::Clinician).collect::<Vec<_>>(), ["/admin", "/admin/overview"]);
        assert_eq!(paths(Role::Patient).count(), 0);
        assert_eq!(context("/", Role::Patient).home(), "/account");
        assert_eq!(context("/", Role::Operator).home(), "/admin");
    }

    #[test]
    fn every_role_action_and_kind_of_object_has_a_text() {
        let roles = Role::ALL.iter().map(Role::to_string).collect::<Vec<_>>();
        let roles: Vec<_> = roles.iter().map(String::as_str).collect();
        for (prefix, codes) in [
            ("console-role", roles.as_slice()),
            ("console-role-meaning", roles.as_slice()),
            ("console-action", Action::VARIANTS),
            ("console-object", ObjectKind::VARIANTS),
        ] {
            for code in codes {
                assert!(Language::German.text_for(prefix, code).is_some(), "{prefix}: {code}");
            }
        }
    }
}
