//! Tests of `POST /api/user/submit` with `multipart/form-data`.

use super::requests::{Form, json_image, picture, post, post_json, received};
use super::{TestApi, TestResponse, refusal};
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

async fn expect_valid_json(image: &str) {
    let body = json!({ "email": "me@example.org", "consent": true, "images": [image] });
    let response = TestApi::new().await.send(post_json(&body)).await;
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
async fn the_error_contains_the_name_of_an_unknown_field_with_a_file() {
    let png = picture(ImageFormat::Png);
    let response = submit(form().file("photo", "a.png", "image/png", &png)).await;
    assert_eq!(codes(&response), ["images_required", "field_unknown"]);
    let detail = &response.json()["error"]["details"][1];
    assert_eq!(detail["field"], "photo");
    let message = "We could not read all of your photos. Please choose them again. Details for developers: the field \
        photo is unknown. Send photos in the field images.";
    assert_eq!(detail["message"], message);
    // A photo in an unknown field is never silently ignored.
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
    let (_, base64) = data_url.split_once(',').expect("a data URL");
    let url_safe = base64.replace('+', "-").replace('/', "_");
    let in_lines = base64.split_at(20);
    let in_lines = format!("{}\r\n{}\r\n", in_lines.0, in_lines.1);
    let encoded = data_url.replace('+', "%2B").replace('/', "%2F").replace("image%2F", "image/");
    for text in [base64, &url_safe, &in_lines, &encoded] {
        expect_valid(form().text("images", text)).await;
        expect_valid_json(text).await;
    }
    expect_valid(form().part("name=\"images\"", "", &png)).await;
    let wrong = form().text("images", "data:image/png,abc").text("images", "[object File]");
    assert_eq!(codes(&submit(wrong).await), ["image_data_invalid", "image_data_invalid"]);
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
        received(&state, request).await.expect("valid").images[0].record.name.clone()
    };
    assert_eq!(stored_name("filename=\"my %22left%22 arm.png\"").await, "my \"left\" arm.png");
    assert_eq!(stored_name("filename*=UTF-8''H%C3%A4ut.png").await, "Häut.png");
}

#[tokio::test]
async fn images_are_sorted_by_their_field_numbers() {
    let state = TestApi::new().await.state();
    let png = picture(ImageFormat::Png);
    let request = form()
        .file("images[1]", "second.png", "", &png)
        .file("images[0]", "first.png", "", &png)
        .file("images[]", "third.png", "", &png);
    let submission = received(&state, request.post()).await.expect("valid");
    let names: Vec<_> = submission.images.iter().map(|image| &*image.record.name).collect();
    assert_eq!(names, ["first.png", "second.png", "third.png"]);

    let wrong_second =
        form().file("images[1]", "b.png", "", b"hello").file("images[0]", "a.png", "", &png);
    let response = submit(wrong_second).await;
    assert_eq!(response.json()["error"]["details"][0]["field"], "images[1]");
    let image = json_image("image/png", &png);
    let body = format!(
        r#"{{"email": "me@example.org", "consent": true, "images[1]": "?!", "images[0]": {image}}}"#
    );
    let response = TestApi::new().await.send(post("application/json", body)).await;
    assert_eq!(response.json()["error"]["details"][0]["field"], "images[1]");
    // Images beyond the limit are not read.
    let many = (0..11).rev().map(|number| format!("images[{number}]"));
    let many = many.fold(form(), |form, name| form.file(&name, "a.png", "", &png));
    assert_eq!(codes(&submit(many).await), ["too_many_images"]);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_reported_as_a_field_error() {
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
    // Browsers send these fields for an empty form.
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
                "We could not read your request. Please reload the page and try again. Details for developers: the \
                 body is not valid multipart/form-data. Let the HTTP client set the Content-Type with the boundary, \
                 and send the form completely."
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
        refusal(
            413,
            "body_too_large",
            "Your request is too large (at most 1 MB). If it contains photos, please choose fewer or smaller ones."
        )
    );
}

#[tokio::test]
async fn json_and_form_submissions_with_the_same_content_have_the_same_digest() {
    let state = TestApi::new().await.state();
    let (png, jpeg) = (picture(ImageFormat::Png), picture(ImageFormat::Jpeg));
    let digest = async |request| received(&state, request).await.expect("valid").digest();
    let named = |mut image: serde_json::Value, name: &str| {
        image["name"] = name.into();
        image
    };
    let images = [
        named(json_image("image/png", &png), "a.png"),
        // The declared media type is deliberately wrong.
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

/// Returns a form whose parser would have to buffer `filler` before it can find the next field.
fn form_with(filler: &str, place: FillerPlace) -> Vec<u8> {
    let (before, header) = match place {
        FillerPlace::BeforeFirstField => (filler, String::new()),
        FillerPlace::InFieldHeaders => ("", format!("X-Filler: {filler}\r\n")),
    };
    let head = "Content-Disposition: form-data; name=\"email\"\r\n";
    format!("{before}\r\n--x\r\n{header}{head}\r\nme@example.org\r\n--x--\r\n").into_bytes()
}

#[derive(Debug, Clone, Copy)]
enum FillerPlace {
    BeforeFirstField,
    InFieldHeaders,
}

#[tokio::test]
async fn a_form_whose_next_field_does_not_begin_within_64_kib_is_rejected() {
    for place in [FillerPlace::BeforeFirstField, FillerPlace::InFieldHeaders] {
        let send = async |length: usize| {
            let body = form_with(&"x".repeat(length), place);
            let request = post("multipart/form-data; boundary=x", body);
            TestApi::new().await.send(request).await.refusal()
        };
        assert_eq!(send(60 * 1024).await, (400, "invalid_submission".to_owned()), "{place:?}");
        let refused = (400, "form_too_complex".to_owned());
        assert_eq!(send(100 * 1024).await, refused, "{place:?}");
    }
}

#[tokio::test]
async fn a_form_with_more_than_1000_fields_is_rejected() {
    let send = async |count: usize| {
        let fields = (0..count).fold(Form::default(), |form, _| form.text("a", ""));
        submit(fields).await.refusal()
    };
    assert_eq!(send(1000).await, (400, "invalid_submission".to_owned()));
    assert_eq!(send(1001).await, (400, "form_too_complex".to_owned()));
}

/// A small gzip body decompresses to more bytes than a parser may buffer.
#[tokio::test]
async fn a_compressed_form_without_fields_is_rejected_early() {
    let preamble = vec![b'x'; 8 * 1024 * 1024];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &preamble).expect("compressed");
    let mut request = post("multipart/form-data; boundary=x", gzip.finish().expect("compressed"));
    request.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
    let response = TestApi::new().await.send(request).await;
    assert_eq!(response.refusal(), (400, "form_too_complex".to_owned()));
}
