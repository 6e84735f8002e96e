//! Sends the example requests from `/openapi.json` and asserts that they succeed. `api/src/tests/clients.rs` checks
//! that every request with a body has an example.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use diagflow_store::Role;
use diagflow_tests::assertions::{delivery, wait_completed_once};
use diagflow_tests::client::expect_accepted;
use diagflow_tests::photos::Photo;
use diagflow_tests::staff::PASSWORD;
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

/// Returns the example of a request body. If the schema has no example, assembles one from its properties' examples.
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

/// Sends the documented example of a staff request and asserts that the response is successful and documented.
async fn send_example(
    staff: &Staff,
    document: &Value,
    method: &str,
    path: &str,
    id: &str,
) -> Value {
    let body = example(document, method, path, JSON);
    send(staff, document, (method, path), &path.replace("{id}", id), &body).await
}

/// Sends a body to `target` and asserts that the response is successful and documented for the route.
async fn send(
    staff: &Staff,
    document: &Value,
    (method, path): (&str, &str),
    target: &str,
    body: &Value,
) -> Value {
    let method_name: Method = method.to_uppercase().parse().expect("a method");
    let request = staff.request(method_name, target).header("if-match", "*");
    let response = request.json(body).send().await.expect("a response");
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
    assert_eq!(
        text("consent"),
        "true",
        "the example must have the same consent as the test client"
    );
    let (email, comments) = (text("email"), text("comments"));
    expect_accepted(stack.client.submit_multipart(&email, &comments, &[photo], None).await).await;

    let admin = Staff::with_role(&stack, Role::Admin).await;
    let id = &submission.submission_id;
    let user = send_example(&admin, &document, "post", "/api/v1/users", "").await;
    let user = user["user"]["id"].as_str().expect("an id");
    send_example(&admin, &document, "put", "/api/v1/users/{id}", user).await;
    send_example(&admin, &document, "post", "/api/v1/users/{id}/keys", user).await;
    send_example(&admin, &document, "post", "/api/admin/submissions/retry", "").await;
    send_example(&admin, &document, "post", "/api/admin/submissions/resend", "").await;
    send_example(&admin, &document, "post", "/api/admin/submissions/{id}/cancel", id).await;
    send_example(&admin, &document, "post", "/api/admin/submissions/{id}/retry", id).await;
    stack.stop().await;
}

/// Returns the documented example with `values` inserted for the properties whose values cannot be documented.
fn example_with(document: &Value, route: (&str, &str), values: &[(&str, &str)]) -> Value {
    let mut body = example(document, route.0, route.1, JSON);
    let content = &document["paths"][route.1][route.0]["requestBody"]["content"][JSON];
    let properties = resolve(document, &content["schema"])["properties"].as_object();
    for (name, value) in values {
        body[*name] = (*value).into();
    }
    for name in properties.expect("properties").keys() {
        assert!(body.get(name).is_some(), "{route:?}: {name} has no example");
    }
    body
}

#[tokio::test]
async fn the_documented_examples_of_a_console_work() {
    let (stack, submission) = Stack::with_submission(StackOptions::default()).await;
    wait_completed_once(&stack, &submission).await;
    let document = json(stack.client.get("/openapi.json").await).await;
    let (admin, id) = (Staff::with_role(&stack, Role::Admin).await, &submission.submission_id);

    let route = ("post", "/api/admin/login");
    let account = [("username", &*admin.email), ("password", PASSWORD)];
    let credentials = example_with(&document, route, &account);
    let session = send(&admin, &document, route, route.1, &credentials).await;
    let console = admin.with_token(session["token"].as_str().expect("a token").to_owned());

    let original = delivery(&stack, &submission).await.id.to_string();
    let route = ("patch", "/api/admin/submissions/{id}");
    let assignee = admin.id.to_string();
    let change = example_with(&document, route, &[("assignee", &assignee)]);
    let target = route.1.replace("{id}", id);
    let changed = send(&console, &document, route, &target, &change).await;
    for name in ["email", "note", "assignee"] {
        assert_eq!(changed[name], change[name], "{name}");
    }
    assert_eq!(changed["resend"]["outcome"], "planned", "the example must request a copy");

    let route = ("post", "/api/admin/submissions/{id}/deliveries/{delivery_id}/resend");
    let target = route.1.replace("{id}", id).replace("{delivery_id}", &original);
    let reason = example_with(&document, route, &[]);
    send(&console, &document, route, &target, &reason).await;
    stack.stop().await;
}
