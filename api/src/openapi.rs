//! The documentation's frame; paths and schemas come from the handlers.

pub(crate) mod error_responses;
pub(crate) mod route;

use crate::error::response::ErrorBody;
use crate::events::all_events::ChangeBody;
use crate::events::submission_events::EventBody;
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
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
    components(schemas(EventBody, ChangeBody, ErrorBody)),
    modifiers(&Security),
)]
pub(crate) struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApiDocument) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The `access_token` that the submission was answered with."))
            .build();
        let cookie = ApiKeyValue::with_description(
            crate::extract::submission_access::ACCESS_COOKIE,
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
