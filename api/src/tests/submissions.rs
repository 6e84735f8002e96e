//! Tests of `POST /api/user/submit` with JSON, with one test for each kind of invalid input.

use super::requests::{
    json_image, picture, post, post_json, valid_except, valid_submission, valid_with_images,
};
use super::{TestApi, TestResponse};
use image::ImageFormat;
use serde_json::{Value, json};

async fn submit(body: &Value) -> TestResponse {
    TestApi::new().await.send(post_json(body)).await
}

/// Sends an invalid submission, and returns the field, code and message of each error.
async fn field_errors(body: &Value) -> Vec<(String, String, String)> {
    let response = submit(body).await;
    assert_eq!(response.refusal(), (400, "invalid_submission".to_owned()), "{}", response.text);
    let body = response.json();
    let details = body["error"]["details"].as_array().expect("details").clone();
    let sentences: Vec<_> = details.iter().map(|detail| detail["message"].clone()).collect();
    assert_eq!(
        body["errors"],
        Value::from(sentences),
        "`errors` contains the messages of `details`"
    );
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let triple =
        |detail: &Value| (text(&detail["field"]), text(&detail["code"]), text(&detail["message"]));
    details.iter().map(triple).collect()
}

async fn expect_field_error(body: &Value, field: &str, code: &str, message: &str) {
    let expected = [(field.to_owned(), code.to_owned(), message.to_owned())];
    assert_eq!(
        field_errors(body).await,
        expected,
        "{}",
        &body.to_string()[..body.to_string().len().min(300)]
    );
}

/// Asserts that the submission passes validation. The response is 503 in that case, because there is no database.
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
    assert!(
        !response.text.contains("127.0.0.1"),
        "internal details in the response: {}",
        response.text
    );
}

#[tokio::test]
async fn an_email_address_is_required() {
    let message = "Email is required. Enter the address where we should send the result.";
    for nothing in [Value::Null, json!(""), json!("  ")] {
        let body = valid_except("email", nothing);
        expect_field_error(&body, "email", "email_required", message).await;
    }
    let mut body = valid_submission();
    body.as_object_mut().expect("an object").remove("email");
    expect_field_error(&body, "email", "email_required", message).await;
}

#[tokio::test]
async fn an_invalid_email_address_is_rejected() {
    for wrong in [
        json!("me"),
        json!("me@host"),
        json!("me@x.onion"),
        json!("a b@x.org"),
        json!(5),
        json!(["a@b.de"]),
    ] {
        let body = valid_except("email", wrong);
        let message = "Invalid email format. Check the address for typing errors.";
        expect_field_error(&body, "email", "email_invalid", message).await;
    }
}

#[tokio::test]
async fn consent_is_required() {
    for no in [Value::Null, json!(false), json!("false"), json!("no"), json!(0), json!({})] {
        let body = valid_except("consent", no);
        let message = "Consent is required. Read the consent text and confirm it.";
        expect_field_error(&body, "consent", "consent_required", message).await;
    }
    for yes in [json!(true), json!("true"), json!("on"), json!("1"), json!("Yes")] {
        expect_valid(&valid_except("consent", yes)).await;
    }
}

#[tokio::test]
async fn only_the_current_consent_version_is_accepted() {
    for other in ["", "2026-1", "2026-11 ", "2025-01", "x"] {
        let message = "The consent text has changed: the current version is 2026-11. Reload the page, and read \
                       and confirm the new text.";
        let body = valid_except("consent_version", json!(other));
        expect_field_error(&body, "consent_version", "consent_version_not_current", message).await;
    }
    for wrong in [json!(2026), json!(true), json!({})] {
        let body = valid_except("consent_version", wrong);
        let message = "We could not read your consent. Please reload the page, and read and confirm the consent text \
            again. Details for developers: consent_version must be a string with the version that was shown.";
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
    let message = "Comments exceed 5000 characters. Shorten them.";
    expect_field_error(&long, "comments", "comments_too_long", message).await;
    for wrong in [json!(5), json!(["a"]), json!("a\u{0}b")] {
        let body = valid_except("comments", wrong);
        let message = "Comments must be text. Remove unusual characters and try again.";
        expect_field_error(&body, "comments", "comments_invalid", message).await;
    }
}

#[tokio::test]
async fn at_least_one_image_is_required() {
    for nothing in [Value::Null, json!([])] {
        let message = "At least one image is required. Add a photo.";
        expect_field_error(&valid_with_images(nothing), "images", "images_required", message).await;
    }
    for wrong in [json!(true), json!(1)] {
        let message = "We could not read your photos. Please choose them again. Details for developers: images must be \
            a list of images.";
        expect_field_error(&valid_with_images(wrong), "images", "images_invalid", message).await;
    }
}

#[tokio::test]
async fn too_many_images_are_rejected() {
    expect_valid(&valid_with_images(pictures(10))).await;
    let message = "Too many images (at most 10). Remove some of them.";
    expect_field_error(&valid_with_images(pictures(11)), "images", "too_many_images", message)
        .await;
    // Many tiny elements must not use much memory.
    let body = valid_with_images(vec![json!({}); 200_000]);
    let field_errors = field_errors(&body).await;
    assert_eq!((field_errors.len(), field_errors[0].1.as_str()), (11, "too_many_images"));
}

#[tokio::test]
async fn a_file_of_an_unsupported_type_is_rejected() {
    let gif = b"GIF89a\x01\0\x01\0\0\0\0;";
    let body = valid_with_images([json_image("image/png", gif)]);
    let message = "Image 1: Invalid format. Allowed: JPEG, PNG, WebP. This is a GIF. Please send a photo as a JPEG, \
                   for example one taken with your phone.";
    expect_field_error(&body, "images[0]", "image_type_not_allowed", message).await;
}

#[tokio::test]
async fn the_declared_type_of_an_image_does_not_matter() {
    let (jpeg, png) = (picture(ImageFormat::Jpeg), picture(ImageFormat::Png));
    let types_of_a_jpeg = [
        "application/jpg",
        "image/heic",
        "image/*",
        "multipart/form-data",
        "image/x-citrix-jpeg",
        "application/octet-stream",
        "image/jpg",
        "image/pjpeg",
        "IMAGE/PNG; q=1",
        "text/html",
        "not a type",
        "",
    ];
    for declared in types_of_a_jpeg {
        expect_valid(&valid_with_images([json_image(declared, &jpeg)])).await;
    }
    for declared in ["image/x-png", "image/x-citrix-png", "application/png", "image/gif"] {
        expect_valid(&valid_with_images([json_image(declared, &png)])).await;
    }
    let mut image = json_image("image/webp", &picture(ImageFormat::WebP));
    for declared in [json!(null), json!(5), json!(["image/png"]), json!({})] {
        image["type"] = declared;
        expect_valid(&valid_with_images([image.clone()])).await;
    }
    image.as_object_mut().expect("an object").remove("type");
    expect_valid(&valid_with_images([image])).await;
}

#[tokio::test]
async fn images_are_accepted_in_all_common_json_structures() {
    let image = json_image("image/png", &picture(ImageFormat::Png));
    let data = image["data"].clone();
    let without_images = |name: &str, value: Value| {
        let mut body = valid_submission();
        let fields = body.as_object_mut().expect("an object");
        fields.remove("images");
        fields.insert(name.to_owned(), value);
        body
    };
    for name in ["images", "image", "images[]", "images[0]"] {
        for value in [image.clone(), data.clone(), json!([image]), json!([data])] {
            expect_valid(&without_images(name, value)).await;
        }
    }
    let mut several = without_images("image", image.clone());
    several["images[1]"] = json!({ "data": "?!" });
    let message = "Image 2: The photo could not be read. Please choose it again. Details for developers: data must be \
        base64 or a base64 data: URL.";
    expect_field_error(&several, "images[1]", "image_data_invalid", message).await;
}

#[tokio::test]
async fn the_error_contains_the_name_of_an_unknown_field_with_a_photo() {
    let image = json_image("image/png", &picture(ImageFormat::Png));
    let message = "We could not read all of your photos. Please choose them again. Details for developers: the field \
        photos is unknown. Send photos in the field images.";
    for value in [image.clone(), json!([image]), image["data"].clone(), json!({"a": [[image]]})] {
        let body = valid_except("photos", value);
        expect_field_error(&body, "photos", "field_unknown", message).await;
    }
    for value in [json!("data: see below"), json!({"width": 5}), json!([1]), json!(1), json!(null)]
    {
        expect_valid(&valid_except("meta", value)).await;
    }
    // If there are no images, every unknown field that may contain one is reported.
    let mut body = valid_except("photos", json!([{ "data": "iVBORw0KGgo=" }]));
    body["images"] = json!(null);
    body["more"] = json!("text");
    let found = field_errors(&body).await;
    let codes: Vec<_> = found.iter().map(|(field, code, _)| format!("{field} {code}")).collect();
    assert_eq!(codes, ["images images_required", "photos field_unknown"]);
}

#[tokio::test]
async fn the_last_value_of_a_repeated_field_is_used() {
    let valid = valid_submission().to_string();
    let twice = format!("{{\"email\": 5, \"comments\": [{{}}], {}", &valid[1..]);
    let response = TestApi::new().await.send(post("application/json", twice)).await;
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

#[tokio::test]
async fn an_image_over_the_size_limit_is_rejected() {
    let mut large = picture(ImageFormat::Png);
    large.resize(10 * 1024 * 1024, 0);
    expect_valid(&valid_with_images([json_image("image/png", &large)])).await;
    large.push(0);
    let body = valid_with_images([json_image("image/png", &large)]);
    let message =
        "Image 1: Exceeds 10MB limit. Choose a smaller photo, or send a screenshot of it.";
    expect_field_error(&body, "images[0]", "image_too_large", message).await;
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
    let (other_kind, damaged) = ("image_type_not_allowed", "image_damaged");
    for (what, bytes, code) in [
        ("text", b"hello, I am a photo".as_slice(), other_kind),
        ("page", b"<!DOCTYPE html><html></html>", other_kind),
        ("pdf", b"%PDF-1.7\n", other_kind),
        ("program", b"MZ\x90\0\x03\0\0\0", other_kind),
        ("first bytes only", b"\x89PNG\r\n\x1a\n", damaged),
        ("truncated header", &png[..20], damaged),
        ("jpeg's first bytes", b"\xff\xd8\xff\xe0rest", damaged),
    ] {
        let body = valid_with_images([json_image("image/png", bytes)]);
        let found = field_errors(&body).await;
        let found: Vec<_> =
            found.iter().map(|(field, code, _)| (field.as_str(), code.as_str())).collect();
        assert_eq!(found, [("images[0]", code)], "{what}");
    }
}

#[tokio::test]
async fn an_image_with_too_many_pixels_is_rejected() {
    let mut bomb = picture(ImageFormat::Png);
    // The width is at offset 16 and the height at offset 20. The checksum of the header chunk is at offset 29.
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let body = valid_with_images([json_image("image/png", &bomb)]);
    let message =
        "Image 1: Exceeds 100 megapixels. Choose a smaller photo, or send a screenshot of it.";
    expect_field_error(&body, "images[0]", "image_too_many_pixels", message).await;
}

/// Decoding an animation requires several copies of its pixels.
#[tokio::test]
async fn an_animation_that_needs_too_much_memory_is_rejected() {
    let animation = |side: u32| {
        let size = (side - 1).to_le_bytes();
        let is_animated = [0b10, 0, 0, 0];
        let canvas = [&is_animated, &size[..3], &size[..3]].concat();
        let chunk = [b"VP8X".as_slice(), &10_u32.to_le_bytes(), &canvas].concat();
        let rest = [b"WEBP".as_slice(), &chunk].concat();
        [b"RIFF".as_slice(), &22_u32.to_le_bytes(), &rest].concat()
    };
    let body = valid_with_images([json_image("image/webp", &animation(7000))]);
    let message =
        "Image 1: Exceeds 46 megapixels. Choose a smaller photo, or send a screenshot of it.";
    expect_field_error(&body, "images[0]", "image_too_many_pixels", message).await;
    let body = valid_with_images([json_image("image/webp", &animation(6000))]);
    assert_eq!(field_errors(&body).await[0].1, "image_damaged", "it has no frames");
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
    let message = "Image 1: The photo could not be read. Please choose it again. Details for developers: data must be \
        base64 or a base64 data: URL.";
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
    let message = "Image 1: The file is empty. Please choose the photo again.";
    expect_field_error(&body, "images[0]", "image_empty", message).await;
}

#[tokio::test]
async fn file_ids_are_not_supported() {
    let body = valid_with_images([json!({ "file_id": "abc" })]);
    let message = "Image 1: The photo could not be read. Please choose it again. Details for developers: file_id is \
        not supported. Send the image itself.";
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
            "images[1] image_type_not_allowed",
            "images[2] image_empty",
        ]
    );
}
