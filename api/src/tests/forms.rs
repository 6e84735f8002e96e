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

async fn expect_valid(form: Form) {
    let response = submit(form).await;
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

#[tokio::test]
async fn a_valid_form_passes_validation() {
    let png = picture(ImageFormat::Png);
    for field in ["images", "images[]", "images[0]", "images[1]", "image", "image[]"] {
        let form = form()
            .text("something_else", "ignored")
            .file("attachment", "", "application/octet-stream", b"")
            .file(field, "a.png", "image/png", &png)
            .file(field, "b", "application/octet-stream", &png);
        expect_valid(form).await;
    }
}

#[tokio::test]
async fn the_declared_type_of_a_file_does_not_matter() {
    let jpeg = picture(ImageFormat::Jpeg);
    for declared in
        ["image/heic", "image/*", "application/jpg", "multipart/form-data", "text/html", "x", ""]
    {
        expect_valid(form().file("images", "a.jpg", declared, &jpeg)).await;
    }
}

#[tokio::test]
async fn a_line_break_counts_as_one_character() {
    let png = picture(ImageFormat::Png);
    let full = format!("{}{}", "x".repeat(4688), "\r\n".repeat(312));
    let with = |comments: &str| form().text("comments", comments).file("images", "a", "", &png);
    expect_valid(with(&full)).await;
    expect_valid(with(&full.replace("\r\n", "\r"))).await;
    assert_eq!(codes(&submit(with(&format!("{full}x"))).await), ["comments_too_long"]);
    expect_valid(with(&"\r\n".repeat(5000))).await;
    let image = json_image("image/png", &png);
    let body =
        json!({ "email": "me@example.org", "comments": full, "consent": true, "images": [image] });
    let response = TestApi::new().await.send(post_json(&body)).await;
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

#[tokio::test]
async fn unknown_fields_with_files_are_named() {
    let png = picture(ImageFormat::Png);
    let response = submit(form().file("photo", "a.png", "image/png", &png)).await;
    assert_eq!(codes(&response), ["images_required", "field_unknown"]);
    let detail = &response.json()["error"]["details"][1];
    assert_eq!(detail["field"], "photo");
    assert_eq!(detail["message"], "Unknown field photo. Send photos in the field images.");
    // A photo is never dropped silently.
    let two = form().file("images", "a.png", "", &png).file("more[images]", "b.png", "", &png);
    assert_eq!(codes(&submit(two).await), ["field_unknown"]);
    let as_text = form().text("picture", "data:image/png;base64,iVBORw0KGgo=");
    assert_eq!(codes(&submit(as_text).await), ["images_required", "field_unknown"]);
}

#[tokio::test]
async fn an_image_may_be_sent_as_text() {
    let png = picture(ImageFormat::Png);
    let data_url = json_image("image/heic", &png)["data"].as_str().expect("text").to_owned();
    expect_valid(form().text("images", &data_url)).await;
    let wrong = form().text("images", "data:image/png,abc").text("images", "[object File]");
    assert_eq!(codes(&submit(wrong).await), ["image_data_invalid", "image_type_not_allowed"]);
    let limited = TestApi::with(|settings| settings.max_file_bytes = png.len() - 1).await;
    for text in [data_url.as_bytes(), &png] {
        let form = form().part("name=\"images\"", "", text);
        assert_eq!(codes(&limited.send(form.post()).await), ["image_too_large"]);
    }
}

#[tokio::test]
async fn file_names_are_decoded() {
    let state = TestApi::new().await.state();
    let png = picture(ImageFormat::Png);
    let stored_name = async |file_name: &str| {
        let part = format!("name=\"images\"; {file_name}");
        let request = form().part(&part, "", &png).post();
        receive(&state, request).await.expect("valid").images[0].record.name.clone()
    };
    assert_eq!(stored_name("filename=\"my %22left%22 arm.png\"").await, "my \"left\" arm.png");
    assert_eq!(stored_name("filename*=UTF-8''H%C3%A4ut.png").await, "Häut.png");
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_an_error_in_its_field() {
    let png = picture(ImageFormat::Png);
    let form = Form::default()
        .text("email", "\u{feff}me@example.org")
        .text("consent", "\u{feff}on")
        .part("name=\"comments\"", "", b"it itches \xed\xa0\xbd")
        .file("images", "a.png", "", &png);
    assert_eq!(codes(&submit(form).await), ["comments_invalid"]);
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
        .file("images", "d.png", "image/png", b"");
    let expected = ["image_too_large", "image_type_not_allowed", "image_empty"];
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
    for request in [
        post("multipart/form-data", "no boundary"),
        post("multipart/form-data; boundary=x", "no form"),
        form().post_unfinished(),
    ] {
        assert_eq!(
            api.send(request).await.refusal_with_message(),
            refusal(
                400,
                "invalid_multipart",
                "The body is not valid multipart/form-data. Let the HTTP client set the Content-Type with the \
                 boundary, and send the form completely."
            )
        );
    }
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
