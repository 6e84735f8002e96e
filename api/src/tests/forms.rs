//! `POST /api/user/submit` as `multipart/form-data`.

use super::requests::{Form, json_image, picture, post, post_json};
use super::{TestApi, TestResponse, refusal};
use crate::intake::receive::receive;
use axum::body::{Body, Bytes};
use image::ImageFormat;
use serde_json::json;

fn form() -> Form {
    Form::default().text("email", "me@example.org").text("comments", "Hi").text("consent", "on")
}

async fn submit(form: Form) -> TestResponse {
    TestApi::new().await.send(form.post()).await
}

fn codes(response: &TestResponse) -> Vec<String> {
    assert_eq!(response.refusal(), (400, "invalid_submission".to_owned()), "{}", response.text);
    let body = response.json();
    let details = body["error"]["details"].as_array().expect("details").clone();
    let code = |detail: &serde_json::Value| detail["code"].as_str().expect("a code").to_owned();
    details.iter().map(code).collect()
}

#[tokio::test]
async fn a_valid_form_passes_validation() {
    let png = picture(ImageFormat::Png);
    for field in ["images", "images[]"] {
        let form = form()
            .text("something_else", "ignored")
            .file(field, "a.png", "image/png", &png)
            .file(field, "b", "application/octet-stream", &png);
        assert_eq!(submit(form).await.refusal(), (503, "unavailable".to_owned()), "{field}");
    }
}

#[tokio::test]
async fn an_empty_form_reports_every_missing_field() {
    let missing = ["email_required", "consent_required", "images_required"];
    assert_eq!(codes(&submit(Form::default()).await), missing);
    // Browsers send this for an empty form.
    let untouched = Form::default().text("email", "").text("comments", "").file(
        "images",
        "",
        "application/octet-stream",
        b"",
    );
    assert_eq!(codes(&submit(untouched).await), missing);
}

#[tokio::test]
async fn invalid_files_are_rejected() {
    let png = picture(ImageFormat::Png);
    let mut large = png.clone();
    large.resize(10 * 1024 * 1024 + 1, 0);
    let bad = form()
        .file("images", "a.png", "image/png", &large)
        .file("images", "b.png", "image/png", b"hello")
        .file("images", "c.gif", "image/gif", &png)
        .file("images", "d.png", "image/png", b"");
    let expected =
        ["image_too_large", "image_not_an_image", "image_type_not_allowed", "image_empty"];
    assert_eq!(codes(&submit(bad).await), expected);
}

#[tokio::test]
async fn too_many_files_are_rejected() {
    let png = picture(ImageFormat::Png);
    let many = (0..11).fold(form(), |form, _| form.file("images", "a.png", "image/png", &png));
    assert_eq!(codes(&submit(many).await), ["too_many_images"]);
}

#[tokio::test]
async fn invalid_text_fields_are_rejected() {
    let png = picture(ImageFormat::Png);
    let long = Form::default()
        .text("email", "me")
        .text("consent", "false")
        .text("comments", &"x".repeat(100_000))
        .file("images", "a.png", "image/png", &png);
    let expected = ["email_invalid", "consent_required", "comments_too_long"];
    assert_eq!(codes(&submit(long).await), expected);
}

#[tokio::test]
async fn malformed_forms_are_rejected() {
    let api = TestApi::new().await;
    let response = api.send(post("multipart/form-data", "no boundary")).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(400, "invalid_multipart", "The body is not valid multipart/form-data.")
    );
    let response = api.send(post("multipart/form-data; boundary=x", "no form")).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(400, "invalid_multipart", "The body is not valid multipart/form-data.")
    );
    let response = api.send(form().post_unfinished()).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(400, "invalid_multipart", "The body is not valid multipart/form-data.")
    );
}

#[tokio::test]
async fn an_interrupted_form_upload_is_rejected() {
    let parts = [Ok(Bytes::from("--x\r\n")), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(futures::stream::iter(parts));
    let response = TestApi::new().await.send(post("multipart/form-data; boundary=x", body)).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(400, "upload_incomplete", "The upload was interrupted. Please send it again.")
    );
}

#[tokio::test]
async fn a_form_over_the_size_limit_is_rejected() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_bytes = 3;
    })
    .await;
    let large = form().file("images", "a.png", "image/png", &vec![0; 1024 * 1024]);
    assert_eq!(
        api.send(large.post()).await.refusal_with_message(),
        refusal(413, "body_too_large", "The body is too large (at most 1 MB).")
    );
}

#[tokio::test]
async fn json_and_form_with_the_same_content_have_the_same_digest() {
    let state = TestApi::new().await.state();
    let (png, jpeg) = (picture(ImageFormat::Png), picture(ImageFormat::Jpeg));
    let digest = async |request| receive(&state, request).await.expect("valid").digest();
    let named = |mut image: serde_json::Value, name: &str| {
        image["name"] = name.into();
        image
    };
    let images = [
        named(json_image("image/png", &png), "a.png"),
        // The declared type is wrong.
        named(json_image("image/png", &jpeg), "b.jpg"),
    ];
    let body =
        json!({ "email": "me@example.org", "comments": "a\nb", "consent": true, "images": images });
    let as_json = digest(post_json(&body)).await;

    let form = |comments: &str| {
        Form::default()
            .file("images", "a.png", "image/png", &png)
            .text("comments", comments)
            .text("consent", "yes")
            .file("images", "b.jpg", "image/jpeg", &jpeg)
            .text("email", " me@example.org ")
    };
    assert_eq!(digest(form("a\r\nb").post()).await, as_json);

    assert_ne!(digest(form("a\nc").post()).await, as_json);
    assert_ne!(digest(form("a\nb").text("consent_version", "2026-11").post()).await, as_json);
    assert_ne!(digest(form("a\nb").file("images", "c", "", &png).post()).await, as_json);
}
