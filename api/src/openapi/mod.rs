//! The OpenAPI document: its title, tags and security schemes. Paths and schemas come from the handlers.

pub(crate) mod error_responses;
pub(crate) mod route;

use crate::error::response::ErrorBody;
use crate::events::all_events::ChangeBody;
use crate::events::submission_events::EventBody;
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diagflow",
        description = "Receives a patient's photos, comments and consent, responds at once, and delivers the \
            diagnosis when it is complete. All error responses have the same format, with a stable `error.code` \
            and the id of the request, which is also in the header `X-Request-Id` of every response.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "submissions", description = "Send a submission and follow it to its result."),
        (name = "staff", description = "List and manage submissions."),
        (name = "sign-in", description = "Sign in and manage your own sessions."),
        (name = "users", description = "Manage accounts, their sessions and API keys."),
        (name = "audit", description = "Read the audit log."),
        (name = "loopai", description = "Endpoints that LoopAI calls."),
        (name = "operation", description = "Health, metrics and version of the service."),
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
            .description(Some("The `access_token` from the response to the submission."))
            .build();
        let cookie = ApiKeyValue::with_description(
            crate::extract::submission_access::ACCESS_COOKIE,
            "The same token in a cookie that the response sets, for `EventSource`. With HTTPS, the name of the \
             cookie begins with `__Secure-`.",
        );
        let session = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The `access_token` of a session, or an API key. The scope is the permission that the \
                 route requires.",
            ))
            .build();
        let session_cookie = ApiKeyValue::with_description(
            crate::auth::cookies::SESSION.name,
            "The access token in a cookie, for web pages. With HTTPS, the name of the cookie begins with \
             `__Host-`. Requests that change data also require the header `X-CSRF-Token`.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("session", SecurityScheme::Http(session));
        let session_cookie = SecurityScheme::ApiKey(ApiKey::Cookie(session_cookie));
        components.add_security_scheme("session_cookie", session_cookie);
    }
}
