//! Tests that the OpenAPI document contains what client generators need: files, enums, events, results, servers,
//! examples and security schemes. `tests/clients` generates clients and uses them.

use super::documentation::{document, operations};
use super::requests::{Form, post_json};
use super::{TestApi, TestResponse};
use crate::error::ErrorCode;
use crate::error::field_errors::FieldErrorCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diagflow_store::{Action, DeliveryStatus, FailureCode, Role, Status, Step};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use strum::VariantNames;

const PREFIX: &str = "#/components/schemas/";

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["components"]["schemas"].get(name).unwrap_or_else(|| panic!("no schema {name}"))
}

fn reference(name: &str) -> Value {
    json!(format!("{PREFIX}{name}"))
}

/// Resolves a reference, including a reference to a schema that may be `null`.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let branches = schema["oneOf"].as_array().into_iter().flatten();
    let not_null = branches.filter(|branch| branch["type"] != "null").collect::<Vec<_>>();
    match (schema["$ref"].as_str(), not_null.as_slice()) {
        (Some(reference), _) => self::schema(document, reference.trim_start_matches(PREFIX)),
        (None, [only]) => resolve(document, only),
        _ => schema,
    }
}

/// Calls `visit` for every value in the document, with its path.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, inner)| walk(inner, &format!("{path}/{name}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|inner| walk(inner, path, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn the_schema_of_a_file_is_a_binary_string() {
    let document = document().await;
    let file = json!({"type": "string", "format": "binary"});
    let form = schema(&document, "FormSubmission");
    assert_eq!(form["properties"]["images"]["items"], file);
    for path in ["/api/files/{id}", "/api/admin/files/{id}"] {
        let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
        let types: Vec<_> = content.as_object().expect("content").keys().collect();
        assert_eq!(types, ["image/jpeg", "image/png", "image/webp"], "{path}");
        for media_type in types {
            assert_eq!(content[media_type]["schema"], file, "{path} {media_type}");
        }
    }
}

#[tokio::test]
async fn each_enum_has_one_schema_that_lists_all_its_values() {
    let document = document().await;
    for (name, values) in [
        ("SubmissionStatus", Status::ALL.iter().map(|status| status.name()).collect()),
        ("SubmissionStep", <Step as VariantNames>::VARIANTS.to_vec()),
        ("EmailStatus", <DeliveryStatus as VariantNames>::VARIANTS.to_vec()),
        ("SubmissionErrorCode", <FailureCode as VariantNames>::VARIANTS.to_vec()),
        ("ApiErrorCode", <ErrorCode as VariantNames>::VARIANTS.to_vec()),
        ("AccountRole", <Role as VariantNames>::VARIANTS.to_vec()),
        ("AuditAction", <Action as VariantNames>::VARIANTS.to_vec()),
    ] {
        let documented = schema(&document, name);
        assert_eq!((&documented["type"], &documented["enum"]), (&json!("string"), &json!(values)));
    }
    let codes = schema(&document, "FieldErrorCode")["enum"].as_array().expect("codes");
    assert!(codes.contains(&serde_json::to_value(FieldErrorCode::EmailInvalid).expect("JSON")));
    assert_eq!(serde_json::to_value(Status::TimedOut).expect("JSON"), Status::TimedOut.name());

    let mut enums = BTreeSet::new();
    walk(&document, "", &mut |path, value| {
        if let Some(values) = value.get("enum").filter(|values| values.is_array()) {
            let is_component = path.starts_with("/components/schemas/");
            assert!(is_component && path.split('/').count() == 4, "{path} is not a schema");
            assert!(enums.insert(values.to_string()), "{path} repeats another enum");
        }
    });
}

#[tokio::test]
async fn fields_with_enum_values_refer_to_the_enum_schema() {
    let document = document().await;
    let mut count = 0;
    walk(&document["components"]["schemas"], "", &mut |path, value| {
        let Some(properties) = value.get("properties").and_then(Value::as_object) else { return };
        for (name, property) in properties {
            let is_name = ["status", "step", "role", "code", "kind", "outcome", "error_code"];
            if is_name.contains(&name.as_str()) {
                let target = resolve(&document, property);
                let target = resolve(&document, target.get("items").unwrap_or(target));
                // The status of a workflow execution comes from Temporal, so it is not one of our enums.
                let is_own = !path.contains("Execution") && !path.contains("History");
                assert!(target["enum"].is_array() || !is_own, "{path}.{name}: {property}");
                count += 1;
            }
        }
    });
    assert!(count > 20, "{count}");
}

#[tokio::test]
async fn the_data_of_each_event_has_a_schema() {
    let document = document().await;
    for (path, union, events) in [
        ("/api/user/events/{id}", "SubmissionEvent", ["StatusUpdateEvent", "ResultReadyEvent"]),
        (
            "/api/admin/events",
            "SubmissionListEvent",
            ["SubmissionChangedEvent", "ListChangedEvent"],
        ),
    ] {
        let stream = &document["paths"][path]["get"]["responses"]["200"]["content"];
        assert_eq!(stream["text/event-stream"]["schema"]["$ref"], reference(union));
        let branches = schema(&document, union)["oneOf"].as_array().expect("events");
        let branches: Vec<_> = branches.iter().map(|branch| branch["$ref"].clone()).collect();
        assert_eq!(branches, events.map(reference), "{union}");
    }
    let update = &schema(&document, "StatusUpdateEvent")["properties"];
    assert_eq!(update["status"]["$ref"], reference("SubmissionStatus"));
    assert_eq!(update["step"]["$ref"], reference("SubmissionStep"));
    let ready = &schema(&document, "ResultReadyEvent")["allOf"];
    assert_eq!(ready[0]["$ref"], reference("StatusUpdateEvent"));
    assert!(ready[1]["properties"]["email_status"].is_object(), "{ready}");
}

/// Returns the names of the members that the report reads from `object`.
fn members_read(report: &str, object: &str) -> BTreeSet<String> {
    let calls = [format!("(&mut {object}, \""), format!("{object}.remove(\"")];
    let calls = calls.iter().flat_map(|call| report.split(call.as_str()).skip(1));
    calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

#[tokio::test]
async fn the_result_schema_has_the_members_that_the_report_reads_and_allows_others() {
    let document = document().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/src/submissions/report.rs");
    let report = std::fs::read_to_string(path).expect("the report's source");
    for (name, object) in [("DiagnosisResult", "rest"), ("DiagnosisFinding", "finding")] {
        let documented = schema(&document, name);
        let members = documented["properties"].as_object().expect("members").keys().cloned();
        assert_eq!(members.collect::<BTreeSet<_>>(), members_read(&report, object), "{name}");
        assert_eq!(documented["additionalProperties"], true);
        assert!(documented.get("required").is_none(), "LoopAI does not guarantee any member");
    }
    let status = &schema(&document, "StatusBody")["properties"]["result"];
    assert_eq!(*resolve(&document, status), *schema(&document, "DiagnosisResult"));
}

#[tokio::test]
async fn the_openapi_document_contains_values_from_the_settings() {
    let api = TestApi::with(|settings| {
        settings.public_url = "https://diagflow.example.net/".parse().expect("an address");
        settings.consent_version = "2027-01".to_owned();
    });
    let document = api.await.get("/openapi.json").await.json();
    assert_eq!(document["servers"][0]["url"], "https://diagflow.example.net");
    assert_eq!(document["servers"][1]["url"], "/", "/docs also works under another host name");
    for name in ["JsonSubmission", "FormSubmission"] {
        let version = &schema(&document, name)["properties"]["consent_version"];
        assert_eq!(version["example"], "2027-01", "{name}");
    }
}

#[tokio::test]
async fn every_request_and_response_body_has_a_schema() {
    walk(&document().await, "", &mut |path, value| {
        let Some(content) = value.get("content").and_then(Value::as_object) else { return };
        for (media_type, content) in content {
            let schema =
                content["schema"].as_object().unwrap_or_else(|| panic!("{path} {media_type}"));
            let is_typed = schema.contains_key("$ref") || schema.contains_key("type");
            assert!(is_typed, "{path} {media_type}: {schema:?}");
        }
    });
}

#[tokio::test]
async fn operation_ids_are_short_function_names() {
    for (path, method, operation) in operations(&document().await) {
        let id = operation["operationId"].as_str().expect("an id");
        let words: Vec<_> = id.split('_').collect();
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(words.len() <= 5 && words.iter().all(is_word), "{method} {path}: {id}");
    }
}

#[tokio::test]
async fn every_security_requirement_has_a_scheme() {
    let document = document().await;
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    for (path, method, operation) in operations(&document) {
        for requirement in operation["security"].as_array().into_iter().flatten() {
            let names: Vec<_> = requirement.as_object().expect("schemes").keys().collect();
            assert!(names.iter().all(|name| schemes.contains_key(*name)), "{path}: {names:?}");
            let is_cookie = names.iter().any(|name| *name == "session_cookie");
            let needs_token = is_cookie && method != "get";
            let has_token = names.iter().any(|name| *name == "csrf_token");
            assert_eq!(has_token, needs_token, "{method} {path}");
        }
    }
    // openapi-python-client requires credentials even if an operation's security requirement is optional.
    assert!(document["paths"]["/api/user/submit"]["post"].get("security").is_none());
}

/// Returns the example of a schema, or builds one from the examples of its properties.
fn example(document: &Value, schema: &Value) -> Option<Value> {
    let schema = resolve(document, schema);
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    let properties = schema["properties"].as_object()?;
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut object = Map::new();
    for (name, property) in properties {
        match example(document, property) {
            Some(value) => drop(object.insert(name.clone(), value)),
            None if required.contains(&json!(name)) => return None,
            None => {}
        }
    }
    Some(object.into())
}

/// Operations without an example, because their bodies contain secrets.
const WITH_SECRETS: [&str; 5] = [
    "sign_in",
    "sign_in_from_console",
    "change_password",
    "refresh_session",
    "report_execution_change",
];

#[tokio::test]
async fn every_json_body_has_an_example() {
    let document = document().await;
    for (path, method, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if body.is_null() || WITH_SECRETS.iter().any(|id| operation["operationId"] == *id) {
            continue;
        }
        let example = example(&document, body).unwrap_or_else(|| panic!("{method} {path}"));
        assert!(example.as_object().is_some_and(|example| !example.is_empty()), "{method} {path}");
    }
}

/// Asserts that a submission passes validation. The response is 503 in that case, because there is no database.
fn expect_valid(response: &TestResponse) {
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

/// `it/documented_examples.rs::the_documented_examples_work` sends the same examples to a running API.
#[tokio::test]
async fn the_submission_examples_are_valid() {
    let api = TestApi::new().await;
    let document = api.get("/openapi.json").await.json();
    let json = example(&document, schema(&document, "JsonSubmission")).expect("an example");
    expect_valid(&api.send(post_json(&json)).await);

    let data = json["images"][0]["data"].as_str().expect("a data URL");
    let data = data.strip_prefix("data:image/jpeg;base64,").expect("a JPEG");
    let photo = BASE64_STANDARD.decode(data).expect("base64");
    assert_eq!(json["images"][0]["size"], photo.len());
    let properties = schema(&document, "FormSubmission")["properties"].as_object().cloned();
    let mut form = Form::default();
    for (name, property) in properties.expect("fields") {
        form = match property["example"].as_str() {
            Some(text) => form.text(&name, text),
            None => form.file(&name, "photo.jpg", "image/jpeg", &photo),
        };
    }
    expect_valid(&api.send(form.post()).await);
}
