//! The OpenAPI document: its title, tags and security schemes. Paths and schemas come from the handlers.

pub(crate) mod diagnosis_result;
pub(crate) mod erasure_receipt;
pub(crate) mod error_responses;
pub(crate) mod examples;
pub(crate) mod files;
pub(crate) mod names;
pub(crate) mod redoc;
pub(crate) mod route;
pub(crate) mod security;
pub(crate) mod streams;
pub(crate) mod submission;

use crate::auth::cookies;
use crate::error::response::ErrorBody;
use crate::extract::submission_access::ACCESS_COOKIE;
use crate::settings::ApiSettings;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as OpenApiDocument, RefOr, Server};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Diagflow",
        description = "Diagflow receives a patient's photos, comments and consent, responds immediately, and sends the \
            diagnosis when it is complete. All error responses have the same format, with a stable `error.code` \
            and the request id. Every response includes the request id in the `X-Request-Id` header. Request \
            bodies may be compressed with gzip (`Content-Encoding: gzip`). Later versions may add members to \
            objects and values to enums.",
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
    components(schemas(ErrorBody)),
    modifiers(&NamedEnums, &Security),
)]
pub(crate) struct Document;

struct NamedEnums;

impl Modify for NamedEnums {
    fn modify(&self, document: &mut OpenApiDocument) {
        let components = document.components.get_or_insert_default();
        let schemas = names::schemas().into_iter();
        components.schemas.extend(schemas.map(|(name, schema)| (name.into_owned(), schema)));
    }
}

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApiDocument) {
        let bearer = |description| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(scheme.description(Some(description)).build())
        };
        let cookie = |name, description| {
            let value = ApiKeyValue::with_description(name, description);
            SecurityScheme::ApiKey(ApiKey::Cookie(value))
        };
        let csrf_token = ApiKeyValue::with_description(
            "X-CSRF-Token",
            "The `csrf_token` from the sign-in response. Required when authenticating with the session cookie.",
        );
        let schemes = [
            (
                security::SUBMISSION_TOKEN,
                bearer("The `access_token` from the submission response."),
            ),
            (
                security::SUBMISSION_COOKIE,
                cookie(
                    ACCESS_COOKIE,
                    "The `access_token` in a cookie that is set by the submission response. Browsers send it with \
                     `EventSource` requests. Over HTTPS, the cookie's name begins with `__Secure-`.",
                ),
            ),
            (
                security::SESSION,
                bearer(
                    "A session's `access_token`, or an API key. Scopes are the permissions that the route \
                     requires.",
                ),
            ),
            (
                security::SESSION_COOKIE,
                cookie(
                    cookies::SESSION.name,
                    "A session's `access_token` in a cookie, for web pages. Over HTTPS, the cookie's name \
                     begins with `__Host-`.",
                ),
            ),
            (security::CSRF_TOKEN, SecurityScheme::ApiKey(ApiKey::Header(csrf_token))),
        ];
        let components = document.components.get_or_insert_default();
        for (name, scheme) in schemes {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// Adds the values that depend on the settings: the server URLs and the current consent version.
pub(crate) fn apply_settings(document: &mut OpenApiDocument, settings: &ApiSettings) {
    let public = Server::new(settings.address(""));
    let same_host = utoipa::openapi::ServerBuilder::new()
        .url("/")
        .description(Some("The host that serves this document."));
    document.servers = Some(vec![public, same_host.build()]);
    let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
    for (_, schema) in schemas {
        let RefOr::T(Schema::Object(object)) = schema else { continue };
        if let Some(RefOr::T(Schema::Object(version))) =
            object.properties.get_mut("consent_version")
        {
            version.example = Some(settings.consent_version.as_str().into());
        }
    }
}
