//! Tests of the OpenAPI document. To accept an intended change, run `INSTA_UPDATE=always cargo test -p diagflow-api`.

use super::{TestApi, TestResponse};
use crate::app::AppState;
use crate::error::{ApiError, ErrorCode};
use crate::extract::body::Body as JsonBody;
use crate::extract::path_id::PathId;
use crate::extract::query::ValidQuery;
use crate::extract::reason::Reason;
use crate::listing::filter::FilterRequest;
use crate::openapi::route::{Documented, RouteDocument};
use crate::routes;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::Method;
use diagflow_store::SubmissionId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::str::FromStr;
use std::sync::OnceLock;
use tower_http::timeout::TimeoutBody;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::Operation;

pub(super) async fn document() -> Value {
    TestApi::new().await.get("/openapi.json").await.json()
}

/// Returns the path, method and documentation of every operation.
pub(super) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("a path").clone();
        item.into_iter()
            .map(|(method, operation)| (path.clone(), method, operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Fails if an error response is not documented.
pub(super) fn expect_documented(
    state: impl FnOnce() -> AppState,
    method: &Method,
    path: &str,
    response: &TestResponse,
) {
    if !path.starts_with("/api/") || response.status.as_u16() < 400 {
        return;
    }
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT
        .get_or_init(|| serde_json::to_value(routes::all(&state()).into_openapi()).expect("JSON"));
    let is_template_of = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template
                .split('/')
                .zip(path.split('/'))
                .all(|(template, part)| template.starts_with('{') || template == part)
    };
    let operation = operations(document)
        .into_iter()
        .find(|(path, name, _)| is_template_of(path) && *name == method.as_str().to_lowercase());
    let Some((_, _, operation)) = operation else { return };
    let code = response.json()["error"]["code"].as_str().expect("a code").to_owned();
    let documented = &operation["responses"][response.status.as_str()]["description"];
    assert!(
        documented.as_str().unwrap_or_default().contains(&format!("`{code}`: ")),
        "{method} {path} returns {} {code}, which is not documented",
        response.status
    );
}

#[derive(Debug, Deserialize, ToSchema)]
struct Example {
    #[expect(dead_code, reason = "only its deserialization is tested")]
    name: String,
}

fn documents(operation: &Operation, error: &ApiError) -> bool {
    let code = ErrorCode::from(error);
    let response = operation.responses.responses.get(code.status().as_str());
    matches!(response, Some(RefOr::T(response))
        if response.description.contains(&format!("`{}`: ", code.as_str())))
}

async fn body_error<T>(content_type: &str, body: impl Into<Body>) -> ApiError
where
    T: FromRequest<(), Rejection = ApiError> + Documented,
{
    let request = Request::post("/").header("content-type", content_type).body(body.into());
    let error = T::from_request(request.expect("a request"), &()).await.err().expect("an error");
    assert!(documents(&RouteDocument::of::<T>("/"), &error), "{error:?} is not documented");
    error
}

#[tokio::test]
async fn body_extractors_document_all_their_errors() {
    let json = "application/json";
    let interrupted = || {
        let chunks = [Ok(Bytes::from("{")), Err(std::io::Error::other("reset"))];
        Body::from_stream(futures::stream::iter(chunks))
    };
    let stalled = || {
        let limit = std::time::Duration::from_millis(1);
        Body::new(TimeoutBody::new(
            limit,
            Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()),
        ))
    };
    let mut codes = Vec::new();
    for (content_type, body) in [
        ("text/plain", Body::from("{}")),
        (json, Body::from("[]")),
        (json, Body::from("{}")),
        (json, Body::from(" ".repeat(65 * 1024))),
        (json, interrupted()),
        (json, stalled()),
    ] {
        codes.push(body_error::<JsonBody<Example>>(content_type, body).await.code());
    }
    let expected = [
        "unsupported_media_type",
        "invalid_json",
        "invalid_input",
        "body_too_large",
        "upload_incomplete",
        "upload_timeout",
    ];
    assert_eq!(codes, expected);
    assert_eq!(body_error::<Reason>(json, "{}").await.code(), "reason_required");
    assert_eq!(body_error::<Reason>("text/plain", "").await.code(), "unsupported_media_type");
}

#[tokio::test]
async fn query_and_path_extractors_document_all_their_errors() {
    let state = TestApi::new().await.state();
    let request = Request::get("/?colour=red").body(()).expect("a request");
    let (mut parts, ()) = request.into_parts();
    let query = ValidQuery::<FilterRequest>::from_request_parts(&mut parts, &state).await;
    let error = query.err().expect("an error");
    assert!(documents(&RouteDocument::of::<ValidQuery<FilterRequest>>("/"), &error), "{error:?}");
    let id = PathId::<SubmissionId>::from_request_parts(&mut parts, &state).await;
    let error = id.err().expect("an error");
    assert!(documents(&RouteDocument::of::<PathId<SubmissionId>>("/{id}"), &error), "{error:?}");
}

#[tokio::test]
async fn every_documented_code_exists_and_has_the_documented_status() {
    for (path, method, operation) in operations(&document().await) {
        let responses = operation["responses"].as_object().expect("responses").clone();
        for (status, response) in responses {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            if *schema != "#/components/schemas/ErrorBody" {
                continue;
            }
            for line in response["description"].as_str().expect("a description").split("\n\n") {
                let code = line.split('`').nth(1).unwrap_or_default();
                let known = ErrorCode::from_str(code);
                let known = known.unwrap_or_else(|_| panic!("{method} {path}: {line}"));
                assert_eq!(known.status().as_str(), status, "{method} {path}: {line}");
                assert_eq!(line, format!("`{code}`: {}", known.meaning()), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_openapi_document_matches_its_snapshot() {
    insta::assert_json_snapshot!("openapi", document().await, { ".info.version" => "[version]" });
}

#[tokio::test]
async fn the_document_declares_openapi_3_1() {
    assert_eq!(document().await["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_operation_has_a_unique_id_and_a_summary() {
    let document = document().await;
    let mut names = HashSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
        assert!(names.insert(name.to_owned()), "{name} is not unique");
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
    }
    assert!(names.len() >= 9, "{names:?}");
}

#[tokio::test]
async fn every_error_response_is_documented_with_the_error_schema() {
    for (path, method, operation) in operations(&document().await) {
        let responses = operation["responses"].as_object().expect("responses").clone();
        let refusals: Vec<_> =
            responses.iter().filter(|(status, _)| status.starts_with('4')).collect();
        // Operational routes return no client errors other than the rate limit.
        let has_refusals = refusals.iter().any(|(status, _)| *status != "429");
        assert_eq!(has_refusals, path.starts_with("/api/"), "{method} {path}");
        for (status, response) in refusals {
            let shape = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(*shape, "#/components/schemas/ErrorBody", "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn the_documentation_page_is_served() {
    let api = TestApi::new().await;
    let response = api.get("/docs").await;
    assert_eq!((response.status.as_u16(), response.header("location")), (303, "/docs/"));
    assert!(api.get("/docs/").await.text.contains("swagger-ui"));
}

#[tokio::test]
async fn redoc_is_served_from_the_binary() {
    let api = TestApi::new().await;
    let page = api.get("/redoc").await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(!page.text.contains("//"), "a file from another host: {}", page.text);
    let swagger_ui = api.get("/docs/").await;
    for name in ["content-security-policy", "x-content-type-options", "ratelimit-policy"] {
        assert_eq!(page.header(name), swagger_ui.header(name), "{name}");
    }
    let values_of = |attribute: &str| {
        let start = format!(" {attribute}=\"");
        let values = page.text.split(start.as_str()).skip(1);
        values.map(|rest| rest.split('"').next().expect("a value").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values_of("spec-url"), ["/openapi.json"]);
    let scripts = values_of("src");
    let script = api.get(&scripts[0]).await;
    assert_eq!(
        (scripts.len(), script.header("content-type")),
        (1, "text/javascript; charset=utf-8")
    );
    let licence = format!("{}.LICENSE.txt", scripts[0]);
    let name = licence.rsplit('/').next().expect("a name");
    assert!(script.text.starts_with(&format!("/*! For license information please see {name} */")));
    assert!(api.get(&licence).await.text.contains("Rebilly, Inc."));
    let redirect = api.get("/redoc/").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (303, "/redoc"));
}
