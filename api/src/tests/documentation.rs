//! The OpenAPI document: what clients are generated from. A change to it shows here; accept one that
//! was meant by `INSTA_UPDATE=always cargo test -p diagflow-api`.

use super::TestApi;
use serde_json::Value;
use std::collections::HashSet;

async fn document() -> Value {
    TestApi::new().await.get("/openapi.json").await.json()
}

/// Every operation: path, method, description.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("a path").clone();
        item.into_iter()
            .map(|(method, operation)| (path.clone(), method, operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[tokio::test]
async fn the_openapi_document_matches_its_snapshot() {
    insta::assert_json_snapshot!("openapi", document().await, { ".info.version" => "[version]" });
}

#[tokio::test]
async fn the_document_is_openapi_3_1() {
    assert_eq!(document().await["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_operation_has_a_unique_id_and_a_summary() {
    let document = document().await;
    let mut names = HashSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(operation["summary"].is_string(), "{method} {path} has a summary");
    }
    assert!(names.len() >= 9, "{names:?}");
}

#[tokio::test]
async fn every_error_response_is_documented_with_the_error_schema() {
    for (path, method, operation) in operations(&document().await) {
        let responses = operation["responses"].as_object().expect("responses").clone();
        let refusals: Vec<_> =
            responses.iter().filter(|(status, _)| status.starts_with('4')).collect();
        // How the service stands may be asked by everybody, but not without end.
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
