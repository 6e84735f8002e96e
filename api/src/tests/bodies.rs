//! Bodies as clients encode them: JSON that is invalid or unusual, compression, content types and sizes.

use super::requests::{Form, json_image, picture, post, post_json, valid_except, valid_submission};
use super::{TestApi, TestResponse, refusal};
use crate::intake::receive::receive;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use serde_json::json;
use std::io::Write;

fn expect_valid(response: &TestResponse) {
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_rejected() {
    let api = TestApi::new().await;
    let no_json = |line, column| {
        let message = format!(
            "The body is not a valid JSON object (line {line}, column {column}). Send JSON in UTF-8."
        );
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
        ("\u{feff}{", 1, 1),
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

#[tokio::test]
async fn half_an_emoji_is_replaced() {
    let state = TestApi::new().await.state();
    let image = json_image("image/png", &picture(ImageFormat::Png));
    let body = json!({
        "email": "me@example.org", "consent": true, "comments": "COMMENTS", "KEY": 1,
        "images": [{"data": image["data"], "name": "NAME", "KEY": "VALUE"}],
    });
    let half = |text: &str| {
        ["COMMENTS", "KEY", "NAME", "VALUE"]
            .iter()
            .fold(text.to_owned(), |text, place| text.replace(place, r"it itches \ud83d"))
    };
    let request = post("application/json", half(&body.to_string()));
    let submission = receive(&state, request).await.expect("valid");
    assert_eq!(submission.comments, "it itches \u{fffd}");
    assert_eq!(submission.images[0].record.name, "it itches \u{fffd}");

    // In a field whose value it makes invalid, it is an error of that field.
    let text = valid_submission().to_string();
    let response = TestApi::new()
        .await
        .send(post("application/json", text.replace("me@", r"me@\ud83d")))
        .await;
    assert_eq!(response.json()["error"]["details"][0]["field"], "email");
    let data = valid_except("images", json!([{"data": "EMOJI"}])).to_string();
    let response =
        TestApi::new().await.send(post("application/json", data.replace("EMOJI", r"\ude00"))).await;
    assert_eq!(response.json()["error"]["details"][0]["code"], "image_data_invalid");
}

#[tokio::test]
async fn every_json_body_may_have_half_an_emoji_and_a_byte_order_mark() {
    let api = TestApi::new().await;
    let text =
        format!("\u{feff}{}", r#"{"email": "me@example.org", "password": "\ud83d", "\ude00": 1}"#);
    let request = Request::post("/api/v1/auth/login").header(CONTENT_TYPE, "application/json");
    let response = api.send(request.body(Body::from(text)).expect("a request")).await;
    expect_valid(&response);
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let api = TestApi::new().await;
    let text = format!("\u{feff}{}", valid_submission());
    expect_valid(&api.send(post("application/json", text)).await);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn encoded(encoding: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(CONTENT_ENCODING, encoding.parse().expect("a value"));
    request
}

#[tokio::test]
async fn compressed_bodies_are_decompressed() {
    let api = TestApi::new().await;
    let text = valid_submission().to_string();
    for encoding in ["gzip", "X-GZIP", "identity, gzip"] {
        let request = post("application/json", gzip(text.as_bytes()));
        expect_valid(&api.send(encoded(encoding, request)).await);
    }
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    expect_valid(&api.send(encoded("gzip", post("application/json", members))).await);
    expect_valid(&api.send(encoded("identity", post_json(&valid_submission()))).await);
    expect_valid(&api.send(encoded("", post_json(&valid_submission()))).await);

    let form = Form::default().text("email", "me@example.org").text("consent", "on").file(
        "images",
        "a.png",
        "",
        &picture(ImageFormat::Png),
    );
    let (parts, body) = form.post().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let form = Request::from_parts(parts, Body::from(gzip(&body)));
    expect_valid(&api.send(encoded("gzip", form)).await);

    let sign_in = gzip(br#"{"email": "me@example.org", "password": "secret"}"#);
    let request = Request::post("/api/v1/auth/login").header(CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(sign_in)).expect("a request");
    expect_valid(&api.send(encoded("gzip", request)).await);
}

#[tokio::test]
async fn invalid_gzip_is_rejected() {
    let api = TestApi::new().await;
    let complete = gzip(valid_submission().to_string().as_bytes());
    let mut damaged = complete.clone();
    // The checksum is in the last eight bytes.
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let cut = complete[..complete.len() / 2].to_vec();
    for body in [damaged, cut, b"{}".to_vec()] {
        for content_type in ["application/json", "multipart/form-data; boundary=x"] {
            let request = encoded("gzip", post(content_type, body.clone()));
            let message =
                "The body is not valid gzip. Send it again, or send it without Content-Encoding.";
            assert_eq!(
                api.send(request).await.refusal_with_message(),
                refusal(400, "invalid_gzip", message)
            );
        }
    }
}

#[tokio::test]
async fn other_encodings_are_rejected_with_the_accepted_one() {
    let api = TestApi::new().await;
    for path in ["/api/user/submit", "/api/v1/auth/login"] {
        for encoding in ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "gzip2"] {
            let request = Request::post(path).header(CONTENT_TYPE, "application/json");
            let request = request.body(Body::from("{}")).expect("a request");
            let response = api.send(encoded(encoding, request)).await;
            let message = "This Content-Encoding is not supported. Send the body as gzip, or without Content-Encoding.";
            assert_eq!(
                response.refusal_with_message(),
                refusal(415, "unsupported_content_encoding", message),
                "{encoding}"
            );
            assert_eq!(response.header("accept-encoding"), "gzip");
        }
    }
}

#[tokio::test]
async fn a_decompressed_body_over_the_size_limit_is_rejected() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_bytes = 3;
        settings.upload_memory = 0;
    })
    .await;
    let spaces = vec![b' '; 20 * 1024 * 1024];
    let part = b"--x\r\nContent-Disposition: form-data; name=\"comments\"\r\n\r\n".as_slice();
    for (content_type, start) in
        [("application/json", b"".as_slice()), ("multipart/form-data; boundary=x", part)]
    {
        let bomb = gzip(&[start, &spaces].concat());
        assert!(bomb.len() < 1024 * 1024, "smaller than the limit");
        let response = api.send(encoded("gzip", post(content_type, bomb))).await;
        assert_eq!(response.refusal(), (413, "body_too_large".to_owned()), "{content_type}");
    }
    let request = Request::post("/api/v1/auth/login").header(CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(gzip(&[b' '; 64 * 1024 + 1]))).expect("a request");
    let response = api.send(encoded("gzip", request)).await;
    assert_eq!(response.refusal(), (413, "body_too_large".to_owned()));
    // Bytes that decompress to nothing are limited as well.
    let nothing = gzip(b"").repeat(64 * 1024);
    let response = api.send(encoded("gzip", post("application/json", nothing))).await;
    assert_eq!(response.refusal(), (400, "invalid_gzip".to_owned()));
}
