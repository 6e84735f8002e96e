//! Notes permissions and refusals in the documentation of routes.

use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Ref, ResponseBuilder};

/// A kind of refusal that many routes share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// 401.
    NotSignedIn,
    /// 403.
    Forbidden,
    /// 429.
    TooMany,
    /// 429, for whoever was refused too often.
    TooManyRefused,
    /// 503.
    Unavailable,
}

impl Refusal {
    fn status_and_description(self) -> (&'static str, &'static str) {
        match self {
            Self::NotSignedIn => (
                "401",
                "`sign_in_required`, `token_expired`, `token_invalid`, `session_ended`, \
                 `api_key_invalid`",
            ),
            Self::Forbidden => ("403", "`forbidden`, `csrf_token_invalid`"),
            Self::TooMany => (
                "429",
                "`too_many_requests`: repeat after `Retry-After`; the headers `RateLimit-Policy` and \
                 `RateLimit` of every answer say how many may follow",
            ),
            Self::TooManyRefused => (
                "429",
                "`too_many_requests`: too much of this client was refused; repeat after `Retry-After`",
            ),
            Self::Unavailable => ("503", "`unavailable`, `timeout`: repeat after `Retry-After`"),
        }
    }
}

/// Notes in the documentation of these paths that they ask for a permission, and the refusals that follow.
pub(crate) fn require_permission(paths: &mut Paths, permission: &str, refusals: &[Refusal]) {
    for operation in operations(paths) {
        let ways = ["session", "session_cookie"];
        let ways = ways.map(|way| SecurityRequirement::new(way, [permission]));
        operation.security = Some(ways.to_vec());
    }
    document_refusals(paths, refusals);
}

/// Notes refusals in the documentation of these paths, beside those of the same status that it tells of.
pub(crate) fn document_refusals(paths: &mut Paths, refusals: &[Refusal]) {
    for operation in operations(paths) {
        for refusal in refusals {
            let (status, description) = refusal.status_and_description();
            let schema = Ref::from_schema_name("ErrorBody");
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", Content::new(Some(schema)));
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
        }
    }
}

fn operations(paths: &mut Paths) -> impl Iterator<Item = &mut Operation> {
    let items = paths.paths.values_mut();
    let all = items.flat_map(|item| {
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
    });
    all.flatten()
}
