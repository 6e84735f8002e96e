//! `POST /api/user/submit` as JSON: one test for each kind of invalid input.

use super::requests::{
    json_image, picture, post, post_json, valid_except, valid_submission, valid_with_images,
};
use super::{TestApi, TestResponse, refusal};
use image::ImageFormat;
use serde_json::{Value, json};

async fn submit(body: &Value) -> TestResponse {
    TestApi::new().await.send(post_json(body)).await
}

/// Sends an invalid submission. Returns field, code and message of all errors.
async fn field_errors(body: &Value) -> Vec<(String, String, String)> {
    let response = submit(body).await;
    assert_eq!(response.refusal(), (400, "invalid_submission".to_owned()), "{}", response.text);
    let body = response.json();
    let details = body["error"]["details"].as_array().expect("details").clone();
    let sentences: Vec<_> = details.iter().map(|detail| detail["message"].clone()).collect();
    assert_eq!(body["errors"], Value::from(sentences), "the same messages, as plain strings");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let triple =
        |detail: &Value| (text(&detail["field"]), text(&detail["code"]), text(&detail["message"]));
    details.iter().map(triple).collect()
}

/// Expects exactly one error.
async fn expect_field_error(body: &Value, field: &str, code: &str, message: &str) {
    let expected = [(field.to_owned(), code.to_owned(), message.to_owned())];
    assert_eq!(
        field_errors(body).await,
        expected,
        "{}",
        &body.to_string()[..body.to_string().len().min(300)]
    );
}

/// Expects that the submission passes the validation: the next error comes from the database.
async fn expect_valid(body: &Value) {
    let response = submit(body).await;
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

fn pictures(count: usize) -> Value {
    vec![json_image("image/png", &picture(ImageFormat::Png)); count].into()
}

#[tokio::test]
async fn a_valid_submission_passes_validation() {
    let response = submit(&valid_submission()).await;
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(response.header("retry-after"), "5");
    assert!(!response.text.contains("127.0.0.1"), "no internal text: {}", response.text);
}

#[tokio::test]
async fn an_email_address_is_required() {
    for nothing in [Value::Null, json!(""), json!("  ")] {
        let body = valid_except("email", nothing);
        expect_field_error(&body, "email", "email_required", "Email is required").await;
    }
    let mut body = valid_submission();
    body.as_object_mut().expect("an object").remove("email");
    expect_field_error(&body, "email", "email_required", "Email is required").await;
}

#[tokio::test]
async fn an_invalid_email_address_is_rejected() {
    for wrong in [json!("me"), json!("me@host"), json!("a b@x.org"), json!(5), json!(["a@b.de"])] {
        let body = valid_except("email", wrong);
        expect_field_error(&body, "email", "email_invalid", "Invalid email format").await;
    }
}

#[tokio::test]
async fn consent_is_required() {
    for no in [Value::Null, json!(false), json!("false"), json!("no"), json!(0), json!({})] {
        let body = valid_except("consent", no);
        expect_field_error(&body, "consent", "consent_required", "Consent is required").await;
    }
    for yes in [json!(true), json!("true"), json!("on"), json!("1"), json!("Yes")] {
        expect_valid(&valid_except("consent", yes)).await;
    }
}

#[tokio::test]
async fn only_the_current_consent_version_is_accepted() {
    for other in ["", "2026-1", "2026-11 ", "2025-01", "x"] {
        let message = "The consent text has changed: the current version is 2026-11";
        let body = valid_except("consent_version", json!(other));
        expect_field_error(&body, "consent_version", "consent_version_not_current", message).await;
    }
    for wrong in [json!(2026), json!(true), json!({})] {
        let body = valid_except("consent_version", wrong);
        let message = "Consent version must be text";
        expect_field_error(&body, "consent_version", "consent_version_invalid", message).await;
    }
    for fine in [Value::Null, json!("2026-11")] {
        expect_valid(&valid_except("consent_version", fine)).await;
    }
}

#[tokio::test]
async fn comments_are_optional_text_of_limited_length() {
    for fine in [Value::Null, json!(""), json!("ä".repeat(5000)), json!("two\nlines")] {
        expect_valid(&valid_except("comments", fine)).await;
    }
    let long = valid_except("comments", json!("ä".repeat(5001)));
    expect_field_error(&long, "comments", "comments_too_long", "Comments exceed 5000 characters")
        .await;
    for wrong in [json!(5), json!(["a"]), json!("a\u{0}b")] {
        let body = valid_except("comments", wrong);
        expect_field_error(&body, "comments", "comments_invalid", "Comments must be text").await;
    }
}

#[tokio::test]
async fn at_least_one_image_is_required() {
    for nothing in [Value::Null, json!([])] {
        let message = "At least one image is required";
        expect_field_error(&valid_with_images(nothing), "images", "images_required", message).await;
    }
    for wrong in [json!("photo"), json!({}), json!(1)] {
        let message = "Images must be a list";
        expect_field_error(&valid_with_images(wrong), "images", "images_invalid", message).await;
    }
}

#[tokio::test]
async fn too_many_images_are_rejected() {
    expect_valid(&valid_with_images(pictures(10))).await;
    let message = "Too many images (at most 10)";
    expect_field_error(&valid_with_images(pictures(11)), "images", "too_many_images", message)
        .await;
    // Many tiny elements must not use much memory.
    let body = valid_with_images(vec![json!({}); 200_000]);
    let field_errors = field_errors(&body).await;
    assert_eq!((field_errors.len(), field_errors[0].1.as_str()), (11, "too_many_images"));
}

const NOT_ALLOWED: &str = "Image 1: Invalid format. Allowed: JPEG, PNG, WebP";

#[tokio::test]
async fn a_declared_type_that_is_not_allowed_is_rejected() {
    let png = picture(ImageFormat::Png);
    for wrong in ["image/gif", "application/pdf", "text/html", "image"] {
        let body = valid_with_images([json_image(wrong, &png)]);
        expect_field_error(&body, "images[0]", "image_type_not_allowed", NOT_ALLOWED).await;
    }
    let mut image = json_image("image/png", &png);
    image["type"] = json!(5);
    expect_field_error(
        &valid_with_images([image]),
        "images[0]",
        "image_type_not_allowed",
        NOT_ALLOWED,
    )
    .await;
}

#[tokio::test]
async fn an_actual_type_that_is_not_allowed_is_rejected() {
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;";
    let body = valid_with_images([json_image("image/png", gif)]);
    expect_field_error(&body, "images[0]", "image_type_not_allowed", NOT_ALLOWED).await;
}

#[tokio::test]
async fn an_allowed_or_missing_declared_type_is_replaced_by_the_actual_type() {
    let jpeg = picture(ImageFormat::Jpeg);
    for declared in ["image/png", "image/jpg", "IMAGE/JPEG; q=1", "application/octet-stream", ""] {
        expect_valid(&valid_with_images([json_image(declared, &jpeg)])).await;
    }
    let mut image = json_image("image/webp", &picture(ImageFormat::WebP));
    image.as_object_mut().expect("an object").remove("type");
    expect_valid(&valid_with_images([image])).await;
}

#[tokio::test]
async fn an_image_over_the_size_limit_is_rejected() {
    let mut large = picture(ImageFormat::Png);
    large.resize(10 * 1024 * 1024, 0);
    expect_valid(&valid_with_images([json_image("image/png", &large)])).await;
    large.push(0);
    let body = valid_with_images([json_image("image/png", &large)]);
    expect_field_error(&body, "images[0]", "image_too_large", "Image 1: Exceeds 10MB limit").await;
}

#[tokio::test]
async fn the_declared_size_is_ignored() {
    let mut image = json_image("image/png", &picture(ImageFormat::Png));
    image["size"] = json!(99_999_999_999_u64);
    expect_valid(&valid_with_images([image])).await;
}

#[tokio::test]
async fn files_that_are_not_images_are_rejected() {
    let png = picture(ImageFormat::Png);
    let message = "Image 1: Is damaged, or not really an image";
    for (what, bytes) in [
        ("text", b"hello, I am a photo".as_slice()),
        ("page", b"<!DOCTYPE html><html></html>"),
        ("pdf", b"%PDF-1.7\n"),
        ("program", b"MZ\x90\0\x03\0\0\0"),
        ("first bytes only", b"\x89PNG\r\n\x1a\n"),
        ("cut off in its header", &png[..20]),
        ("jpeg's first bytes", b"\xff\xd8\xff\xe0rest"),
    ] {
        let body = valid_with_images([json_image("image/png", bytes)]);
        let found = field_errors(&body).await;
        let expected =
            [("images[0]".to_owned(), "image_not_an_image".to_owned(), message.to_owned())];
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test]
async fn an_image_with_too_many_pixels_is_rejected() {
    let mut bomb = picture(ImageFormat::Png);
    // Width and height are at the offsets 16 and 20, followed by the checksum of the header chunk.
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let body = valid_with_images([json_image("image/png", &bomb)]);
    let message = "Image 1: Exceeds 100 megapixels";
    expect_field_error(&body, "images[0]", "image_too_many_pixels", message).await;
}

/// Checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    })
}

#[tokio::test]
async fn missing_or_invalid_image_data_is_rejected() {
    let message = "Image 1: Data must be base64 or a base64 data: URL";
    for image in [
        json!({ "type": "image/png", "data": "?!" }),
        json!({ "type": "image/png", "data": "data:image/png,abc" }),
        json!({ "type": "image/png", "data": 5 }),
        json!({ "type": "image/png" }),
        json!("photo.png"),
        json!(null),
    ] {
        expect_field_error(&valid_with_images([image]), "images[0]", "image_data_invalid", message)
            .await;
    }
}

#[tokio::test]
async fn an_empty_image_is_rejected() {
    let body = valid_with_images([json_image("image/png", b"")]);
    expect_field_error(&body, "images[0]", "image_empty", "Image 1: Is empty").await;
}

#[tokio::test]
async fn file_ids_are_not_supported() {
    let body = valid_with_images([json!({ "file_id": "abc" })]);
    let message = "Image 1: Send the image itself: file_id is not supported";
    expect_field_error(&body, "images[0]", "file_id_not_supported", message).await;
}

#[tokio::test]
async fn all_errors_are_reported_at_once() {
    let png = picture(ImageFormat::Png);
    let body = json!({
        "email": "me",
        "comments": 7,
        "images": [
            json_image("image/png", &png),
            json_image("image/png", b"hello"),
            json_image("image/gif", b""),
        ],
    });
    let codes: Vec<_> = field_errors(&body)
        .await
        .into_iter()
        .map(|(field, code, _)| format!("{field} {code}"))
        .collect();
    assert_eq!(
        codes,
        [
            "email email_invalid",
            "consent consent_required",
            "comments comments_invalid",
            "images[1] image_not_an_image",
            "images[2] image_type_not_allowed",
            "images[2] image_empty",
        ]
    );
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_rejected() {
    let api = TestApi::new().await;
    let no_json = |line, column| {
        let message =
            format!("The body is not a valid JSON object (line {line}, column {column}).");
        refusal(400, "invalid_json", &message)
    };
    for (wrong, line, column) in [
        ("", 1, 0),
        ("{", 1, 1),
        ("[]", 1, 1),
        ("null", 1, 1),
        ("5", 1, 1),
        ("\"text\"", 1, 1),
        ("{\"email\":}", 1, 10),
        ("{\n  \"email\": oops}", 2, 12),
        ("{}{}", 1, 3),
        ("\u{feff}{}", 1, 1),
    ] {
        let response = api.send(post("application/json", wrong)).await;
        assert_eq!(response.refusal_with_message(), no_json(line, column), "{wrong:?}");
    }
    // Deep nesting does not overflow the stack.
    let deep = "[".repeat(100_000);
    let response = api.send(post("application/json", deep)).await;
    assert_eq!(response.refusal_with_message(), no_json(1, 100_000));
}

#[tokio::test]
async fn an_unsupported_content_type_is_rejected() {
    let api = TestApi::new().await;
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let response = api.send(post(wrong, valid_submission().to_string())).await;
        assert_eq!(
            response.refusal_with_message(),
            refusal(415, "unsupported_media_type", "Send application/json or multipart/form-data."),
            "{wrong:?}"
        );
    }
    let response =
        api.send(post("Application/JSON; charset=utf-8", valid_submission().to_string())).await;
    assert_eq!(response.refusal().0, 503, "this one is JSON");
}

#[tokio::test]
async fn a_body_over_the_size_limit_is_rejected() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_bytes = 3;
    })
    .await;
    // The limit is 4 bytes for the image and 1 MiB for everything else.
    let body = " ".repeat(1024 * 1024 + 5);
    let mut announced = post("application/json", body.clone());
    announced.headers_mut().insert("content-length", body.len().into());
    assert_eq!(
        api.send(announced).await.refusal_with_message(),
        refusal(413, "body_too_large", "The body is too large (at most 1 MB).")
    );
    let response = api.send(post("application/json", body.clone())).await;
    assert_eq!(
        response.refusal_with_message(),
        refusal(413, "body_too_large", "The body is too large (at most 1 MB).")
    );
    let response = api.send(post("application/json", body[1..].to_owned())).await;
    assert_eq!(response.refusal().1, "invalid_json", "just within the limit");
}

#[tokio::test]
async fn an_invalid_idempotency_key_is_rejected() {
    let api = TestApi::new().await;
    for wrong in ["", "a b", &"x".repeat(256)] {
        let mut request = post_json(&valid_submission());
        request.headers_mut().insert("idempotency-key", wrong.parse().expect("a value"));
        let response = api.send(request).await;
        assert_eq!(
            response.refusal_with_message(),
            refusal(
                400,
                "invalid_idempotency_key",
                "Idempotency-Key must be one value of 1 to 255 visible ASCII characters."
            ),
            "{wrong:?}"
        );
    }
}
