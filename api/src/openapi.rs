//! The documentation's frame; paths and schemas come from the handlers.

use crate::events::{ChangeBody, EventBody};
use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi as OpenApiDocument, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// See the head of this file.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diagflow",
        description = "Takes a patient's images, comments and consent, answers at once, and sees the \
            diagnosis through. Every refusal has the same shape, a stable `error.code` and the \
            request's id, which is also in the header `X-Request-Id` of every answer.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "submissions", description = "Send a submission, and follow it to its result."),
        (name = "staff", description = "What staff see of submissions, and do to them."),
        (name = "sign-in", description = "For people and programs with an account."),
        (name = "users", description = "Accounts, their sessions and API keys."),
        (name = "audit", description = "Who did what."),
        (name = "loopai", description = "What LoopAI asks for."),
        (name = "operation", description = "How the service itself stands."),
    ),
    components(schemas(EventBody, ChangeBody)),
    modifiers(&Security),
)]
pub(crate) struct Document;

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
pub(crate) fn demand(paths: &mut Paths, permission: &str, refusals: &[Refusal]) {
    for operation in operations(paths) {
        let ways = ["session", "session_cookie"];
        let ways = ways.map(|way| SecurityRequirement::new(way, [permission]));
        operation.security = Some(ways.to_vec());
    }
    note(paths, refusals);
}

/// Notes refusals in the documentation of these paths, beside those of the same status that it tells of.
pub(crate) fn note(paths: &mut Paths, refusals: &[Refusal]) {
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

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApiDocument) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The `access_token` that the submission was answered with."))
            .build();
        let cookie = ApiKeyValue::with_description(
            crate::access::COOKIE,
            "The same token, as the cookie that came with the answer: for `EventSource`. Over https its \
             name begins with `__Secure-`.",
        );
        let session = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The `access_token` of a sign-in, or an API key. What stands beside it is the \
                 permission that the route asks for.",
            ))
            .build();
        let session_cookie = ApiKeyValue::with_description(
            crate::auth::cookies::SESSION.name,
            "The same as a cookie, for pages. Over https its name begins with `__Host-`. A change also \
             needs the header `X-CSRF-Token`.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("session", SecurityScheme::Http(session));
        let session_cookie = SecurityScheme::ApiKey(ApiKey::Cookie(session_cookie));
        components.add_security_scheme("session_cookie", session_cookie);
    }
}
