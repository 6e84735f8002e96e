//! `POST /api/user/submit` as JSON: one test for each kind of bad input, and what is taken.

use super::requests::{good, good_but, good_with, json_image, picture, post, post_json};
use super::{Answer, TestApi, told};
use image::ImageFormat;
use serde_json::{Value, json};

async fn submit(body: &Value) -> Answer {
    TestApi::new().await.send(post_json(body)).await
}

/// Sends a bad submission; returns field, code and sentence of everything that is said to be wrong.
async fn faults(body: &Value) -> Vec<(String, String, String)> {
    let answer = submit(body).await;
    assert_eq!(answer.refusal(), (400, "invalid_submission".to_owned()), "{}", answer.text);
    let body = answer.json();
    let details = body["error"]["details"].as_array().expect("details").clone();
    let sentences: Vec<_> = details.iter().map(|detail| detail["message"].clone()).collect();
    assert_eq!(body["errors"], Value::from(sentences), "the same sentences, as plain strings");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let triple =
        |detail: &Value| (text(&detail["field"]), text(&detail["code"]), text(&detail["message"]));
    details.iter().map(triple).collect()
}

/// Expects exactly one fault.
async fn expect_fault(body: &Value, field: &str, code: &str, message: &str) {
    let expected = [(field.to_owned(), code.to_owned(), message.to_owned())];
    assert_eq!(
        faults(body).await,
        expected,
        "{}",
        &body.to_string()[..body.to_string().len().min(300)]
    );
}

/// Whether a submission passes the validation: then the database is asked, which nobody can reach.
async fn expect_valid(body: &Value) {
    let answer = submit(body).await;
    assert_eq!(answer.refusal(), (503, "unavailable".to_owned()), "{}", answer.text);
}

fn pictures(count: usize) -> Value {
    vec![json_image("image/png", &picture(ImageFormat::Png)); count].into()
}

#[tokio::test]
async fn a_good_submission_reaches_the_database() {
    let answer = submit(&good()).await;
    assert_eq!(answer.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(answer.header("retry-after"), "5");
    assert!(!answer.text.contains("127.0.0.1"), "nothing internal: {}", answer.text);
}

#[tokio::test]
async fn missing_email() {
    for nothing in [Value::Null, json!(""), json!("  ")] {
        let body = good_but("email", nothing);
        expect_fault(&body, "email", "email_required", "Email is required").await;
    }
    let mut body = good();
    body.as_object_mut().expect("an object").remove("email");
    expect_fault(&body, "email", "email_required", "Email is required").await;
}

#[tokio::test]
async fn wrong_email() {
    for wrong in [json!("me"), json!("me@host"), json!("a b@x.org"), json!(5), json!(["a@b.de"])] {
        let body = good_but("email", wrong);
        expect_fault(&body, "email", "email_invalid", "Invalid email format").await;
    }
}

#[tokio::test]
async fn missing_consent() {
    for no in [Value::Null, json!(false), json!("false"), json!("no"), json!(0), json!({})] {
        let body = good_but("consent", no);
        expect_fault(&body, "consent", "consent_required", "Consent is required").await;
    }
    for yes in [json!(true), json!("true"), json!("on"), json!("1"), json!("Yes")] {
        expect_valid(&good_but("consent", yes)).await;
    }
}

#[tokio::test]
async fn wrong_consent_version() {
    for other in ["", "2026-1", "2026-11 ", "2025-01", "x"] {
        let sentence = "The consent text has changed: the current version is 2026-11";
        let body = good_but("consent_version", json!(other));
        expect_fault(&body, "consent_version", "consent_version_not_current", sentence).await;
    }
    for wrong in [json!(2026), json!(true), json!({})] {
        let body = good_but("consent_version", wrong);
        let sentence = "Consent version must be text";
        expect_fault(&body, "consent_version", "consent_version_invalid", sentence).await;
    }
    for fine in [Value::Null, json!("2026-11")] {
        expect_valid(&good_but("consent_version", fine)).await;
    }
}

#[tokio::test]
async fn comments_may_be_missing_but_not_endless_and_not_something_else() {
    for fine in [Value::Null, json!(""), json!("ä".repeat(5000)), json!("two\nlines")] {
        expect_valid(&good_but("comments", fine)).await;
    }
    let long = good_but("comments", json!("ä".repeat(5001)));
    expect_fault(&long, "comments", "comments_too_long", "Comments exceed 5000 characters").await;
    for wrong in [json!(5), json!(["a"]), json!("a\u{0}b")] {
        let body = good_but("comments", wrong);
        expect_fault(&body, "comments", "comments_invalid", "Comments must be text").await;
    }
}

#[tokio::test]
async fn no_image() {
    for nothing in [Value::Null, json!([])] {
        let sentence = "At least one image is required";
        expect_fault(&good_with(nothing), "images", "images_required", sentence).await;
    }
    for wrong in [json!("photo"), json!({}), json!(1)] {
        let sentence = "Images must be a list";
        expect_fault(&good_with(wrong), "images", "images_invalid", sentence).await;
    }
}

#[tokio::test]
async fn too_many_images() {
    expect_valid(&good_with(pictures(10))).await;
    let sentence = "Too many images (at most 10)";
    expect_fault(&good_with(pictures(11)), "images", "too_many_images", sentence).await;
    // Many tiny things must not become many large ones in memory.
    let body = good_with(vec![json!({}); 200_000]);
    let faults = faults(&body).await;
    assert_eq!((faults.len(), faults[0].1.as_str()), (11, "too_many_images"));
}

const NOT_ALLOWED: &str = "Image 1: Invalid format. Allowed: JPEG, PNG, WebP";

#[tokio::test]
async fn declared_type_that_is_not_allowed() {
    let png = picture(ImageFormat::Png);
    for wrong in ["image/gif", "application/pdf", "text/html", "image"] {
        let body = good_with([json_image(wrong, &png)]);
        expect_fault(&body, "images[0]", "image_type_not_allowed", NOT_ALLOWED).await;
    }
    let mut image = json_image("image/png", &png);
    image["type"] = json!(5);
    expect_fault(&good_with([image]), "images[0]", "image_type_not_allowed", NOT_ALLOWED).await;
}

#[tokio::test]
async fn real_type_that_is_not_allowed() {
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;";
    let body = good_with([json_image("image/png", gif)]);
    expect_fault(&body, "images[0]", "image_type_not_allowed", NOT_ALLOWED).await;
}

#[tokio::test]
async fn a_type_that_is_missing_or_wrong_but_allowed_is_no_fault() {
    let jpeg = picture(ImageFormat::Jpeg);
    for declared in ["image/png", "image/jpg", "IMAGE/JPEG; q=1", "application/octet-stream", ""] {
        expect_valid(&good_with([json_image(declared, &jpeg)])).await;
    }
    let mut image = json_image("image/webp", &picture(ImageFormat::WebP));
    image.as_object_mut().expect("an object").remove("type");
    expect_valid(&good_with([image])).await;
}

#[tokio::test]
async fn image_over_the_limit() {
    let mut large = picture(ImageFormat::Png);
    large.resize(10 * 1024 * 1024, 0);
    expect_valid(&good_with([json_image("image/png", &large)])).await;
    large.push(0);
    let body = good_with([json_image("image/png", &large)]);
    expect_fault(&body, "images[0]", "image_too_large", "Image 1: Exceeds 10MB limit").await;
}

#[tokio::test]
async fn the_declared_size_does_not_count() {
    let mut image = json_image("image/png", &picture(ImageFormat::Png));
    image["size"] = json!(99_999_999_999_u64);
    expect_valid(&good_with([image])).await;
}

#[tokio::test]
async fn not_really_an_image() {
    let png = picture(ImageFormat::Png);
    let sentence = "Image 1: Is damaged, or not really an image";
    for (what, bytes) in [
        ("text", b"hello, I am a photo".as_slice()),
        ("page", b"<!DOCTYPE html><html></html>"),
        ("pdf", b"%PDF-1.7\n"),
        ("program", b"MZ\x90\0\x03\0\0\0"),
        ("first bytes only", b"\x89PNG\r\n\x1a\n"),
        ("cut off in its header", &png[..20]),
        ("jpeg's first bytes", b"\xff\xd8\xff\xe0rest"),
    ] {
        let body = good_with([json_image("image/png", bytes)]);
        let found = faults(&body).await;
        let expected =
            [("images[0]".to_owned(), "image_not_an_image".to_owned(), sentence.to_owned())];
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test]
async fn image_that_claims_too_many_pixels() {
    let mut bomb = picture(ImageFormat::Png);
    // Width and height stand at 16 and 20, followed by the checksum of the header chunk.
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let body = good_with([json_image("image/png", &bomb)]);
    let sentence = "Image 1: Exceeds 100 megapixels";
    expect_fault(&body, "images[0]", "image_too_many_pixels", sentence).await;
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
        })
    })
}

#[tokio::test]
async fn image_data_that_is_no_base64_or_missing() {
    let sentence = "Image 1: Data must be base64 or a base64 data: URL";
    for image in [
        json!({ "type": "image/png", "data": "?!" }),
        json!({ "type": "image/png", "data": "data:image/png,abc" }),
        json!({ "type": "image/png", "data": 5 }),
        json!({ "type": "image/png" }),
        json!("photo.png"),
        json!(null),
    ] {
        expect_fault(&good_with([image]), "images[0]", "image_data_invalid", sentence).await;
    }
}

#[tokio::test]
async fn empty_image() {
    let body = good_with([json_image("image/png", b"")]);
    expect_fault(&body, "images[0]", "image_empty", "Image 1: Is empty").await;
}

#[tokio::test]
async fn file_id_is_for_later() {
    let body = good_with([json!({ "file_id": "abc" })]);
    let sentence = "Image 1: Send the image itself: file_id is not supported";
    expect_fault(&body, "images[0]", "file_id_not_supported", sentence).await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
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
    let codes: Vec<_> =
        faults(&body).await.into_iter().map(|(field, code, _)| format!("{field} {code}")).collect();
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
async fn what_is_no_json_object() {
    let api = TestApi::new().await;
    let no_json = |line, column| {
        let sentence =
            format!("The body is not a valid JSON object (line {line}, column {column}).");
        told(400, "invalid_json", &sentence)
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
        let answer = api.send(post("application/json", wrong)).await;
        assert_eq!(answer.refused(), no_json(line, column), "{wrong:?}");
    }
    // Read to its end, however deep it is.
    let deep = "[".repeat(100_000);
    let answer = api.send(post("application/json", deep)).await;
    assert_eq!(answer.refused(), no_json(1, 100_000));
}

#[tokio::test]
async fn another_content_type() {
    let api = TestApi::new().await;
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = api.send(post(wrong, good().to_string())).await;
        assert_eq!(
            answer.refused(),
            told(415, "unsupported_media_type", "Send application/json or multipart/form-data."),
            "{wrong:?}"
        );
    }
    let answer = api.send(post("Application/JSON; charset=utf-8", good().to_string())).await;
    assert_eq!(answer.refusal().0, 503, "this one is JSON");
}

#[tokio::test]
async fn body_over_the_limit_announced_or_not() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_size = 3;
    })
    .await;
    // 4 bytes for the image, 1 MiB for everything else.
    let body = " ".repeat(1024 * 1024 + 5);
    let mut announced = post("application/json", body.clone());
    announced.headers_mut().insert("content-length", body.len().into());
    assert_eq!(
        api.send(announced).await.refused(),
        told(413, "body_too_large", "The body is too large (at most 1 MB).")
    );
    let answer = api.send(post("application/json", body.clone())).await;
    assert_eq!(
        answer.refused(),
        told(413, "body_too_large", "The body is too large (at most 1 MB).")
    );
    let answer = api.send(post("application/json", body[1..].to_owned())).await;
    assert_eq!(answer.refusal().1, "invalid_json", "just within the limit");
}

#[tokio::test]
async fn wrong_idempotency_key() {
    let api = TestApi::new().await;
    for wrong in ["", "a b", &"x".repeat(256)] {
        let mut request = post_json(&good());
        request.headers_mut().insert("idempotency-key", wrong.parse().expect("a value"));
        let answer = api.send(request).await;
        assert_eq!(
            answer.refused(),
            told(
                400,
                "invalid_idempotency_key",
                "Idempotency-Key must be one text of 1 to 255 visible ASCII characters."
            ),
            "{wrong:?}"
        );
    }
}
