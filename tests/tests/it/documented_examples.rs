//! The example requests in `/openapi.json` work when they are sent. `api/src/tests/clients.rs` checks that every request
//! with a body has an example.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diagflow_store::Role;
use diagflow_tests::client::expect_accepted;
use diagflow_tests::photos::Photo;
use diagflow_tests::{Stack, StackOptions, Staff};
use reqwest::{Method, Response};
use serde_json::{Map, Value};

const JSON: &str = "application/json";

async fn json(response: Response) -> Value {
    response.json().await.expect("JSON")
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a schema"),
        None => schema,
    }
}

/// The example of the body of a request: that of its schema, or one made from the examples of its properties.
fn example(document: &Value, method: &str, path: &str, media_type: &str) -> Value {
    let content = &document["paths"][path][method]["requestBody"]["content"][media_type];
    let schema = resolve(document, &content["schema"]);
    let of_properties = || {
        let properties = schema["properties"].as_object().expect("properties").iter();
        let given = properties.filter_map(|(name, property)| {
            Some((name.clone(), resolve(document, property).get("example")?.clone()))
        });
        given.collect::<Map<_, _>>().into()
    };
    schema.get("example").cloned().unwrap_or_else(of_properties)
}

/// Sends the example of a request of staff, and expects one of its documented responses.
async fn send_example(
    staff: &Staff,
    document: &Value,
    method: &str,
    path: &str,
    id: &str,
) -> Value {
    let body = example(document, method, path, JSON);
    let target = path.replace("{id}", id);
    let method_name: Method = method.to_uppercase().parse().expect("a method");
    let response = staff.request(method_name, &target).json(&body).send().await;
    let response = response.expect("a response");
    let status = response.status();
    let documented = &document["paths"][path][method]["responses"][status.as_str()];
    let response = json(response).await;
    assert!(status.is_success() && documented.is_object(), "{path}: {body} -> {response}");
    response
}

#[tokio::test]
async fn the_documented_examples_work() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let document = json(stack.client.get("/openapi.json").await).await;
    let path = "/api/user/submit";

    let body = example(&document, "post", path, JSON);
    let response = stack.client.post(&body, None).await.expect("a response");
    let submission = expect_accepted(response).await;

    let form = example(&document, "post", path, "multipart/form-data");
    let text = |name: &str| form[name].as_str().expect("text").to_owned();
    let data = body["images"][0]["data"].as_str().expect("a data URL");
    let (_, data) = data.split_once(',').expect("a data URL");
    let bytes = BASE64_STANDARD.decode(data).expect("base64");
    let photo = Photo { name: "photo.jpg", media_type: "image/jpeg", bytes };
    assert_eq!(text("consent"), "true", "as the client sends it");
    let (email, comments) = (text("email"), text("comments"));
    expect_accepted(stack.client.submit_multipart(&email, &comments, &[photo], None).await).await;

    let admin = Staff::with_role(&stack, Role::Admin).await;
    let id = &submission.submission_id;
    let user = send_example(&admin, &document, "post", "/api/v1/users", "").await;
    let user = user["user"]["id"].as_str().expect("an id");
    send_example(&admin, &document, "put", "/api/v1/users/{id}", user).await;
    send_example(&admin, &document, "post", "/api/v1/users/{id}/keys", user).await;
    send_example(&admin, &document, "post", "/api/admin/submissions/retry", "").await;
    send_example(&admin, &document, "post", "/api/admin/submissions/{id}/cancel", id).await;
    send_example(&admin, &document, "post", "/api/admin/submissions/{id}/retry", id).await;
    stack.stop().await;
}
