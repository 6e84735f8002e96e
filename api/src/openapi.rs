//! The documentation's frame; paths and schemas come from the handlers.

use crate::events::EventBody;
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
        (name = "loopai", description = "What LoopAI asks for."),
        (name = "operation", description = "How the service itself stands."),
    ),
    components(schemas(EventBody)),
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
            crate::access::COOKIE,
            "The same token, as the cookie that came with the answer: for `EventSource`.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}
