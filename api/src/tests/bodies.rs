//! Tests of request bodies: invalid and unusual JSON, compression, content types and sizes.

use super::requests::{
    Form, json_image, picture, post, post_json, received, valid_except, valid_submission,
};
use super::{TestApi, TestResponse, refusal};
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use serde_json::json;
use std::io::Write;

const TOO_LARGE: &str = "Your request is too large (at most 1 MB). If it contains photos, please choose fewer or \
                         smaller ones.";

fn expect_valid(response: &TestResponse) {
    assert_eq!(response.refusal(), (503, "unavailable".to_owned()), "{}", response.text);
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_rejected() {
    let api = TestApi::new().await;
    let no_json = |line, column| {
        let message = format!(
            "We could not read your request. Please reload the page and try again. Details for developers: the body \
             is not a valid JSON object (line {line}, column {column}). Send JSON in UTF-8."
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
    // Deep nesting must not overflow the stack.
    let deep = format!(r#"{{"comments": {}"#, "[".repeat(100_000));
    let response = api.send(post("application/json", deep)).await;
    assert_eq!(response.refusal_with_message(), no_json(1, 100_013));
}

#[tokio::test]
async fn a_value_that_cannot_be_parsed_is_reported_as_a_field_error() {
    let api = TestApi::new().await;
    let image = json_image("image/png", &picture(ImageFormat::Png));
    let text = json!({
        "email": "EMAIL", "consent": true, "comments": "COMMENTS", "unknown": "UNKNOWN",
        "images": ["IMAGE", {"data": image["data"], "name": "NAME", "size": "SIZE"}],
    })
    .to_string();
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for value in ["1e400", "-1e999", &nested, r#"{"a": 1e400}"#] {
        let with = |places: &[&str]| {
            let fill = |text: String, place: &&str| text.replace(&format!("\"{place}\""), value);
            post("application/json", places.iter().fold(text.clone(), fill))
        };
        let response = api.send(with(&["EMAIL", "COMMENTS", "UNKNOWN", "IMAGE", "NAME", "SIZE"]));
        let body = response.await.json();
        let details = body["error"]["details"].as_array().expect("details");
        let fields: Vec<_> = details.iter().map(|detail| &detail["field"]).collect();
        assert_eq!(fields, ["email", "comments", "images[0]"], "{value:.20}: {body}");
    }
    for value in ["1e400", "true"] {
        let text = format!(r#"{{"email": "me@example.org", "consent": true, "images": {value}}}"#);
        let body = api.send(post("application/json", text)).await.json();
        assert_eq!(body["error"]["details"][0]["code"], "images_invalid", "{value}: {body}");
    }
    let sign_in = r#"{"email": 1e400, "password": [[1e400]]}"#;
    let request = Request::post("/api/v1/auth/login").header(CONTENT_TYPE, "application/json");
    let response = api.send(request.body(Body::from(sign_in)).expect("a request")).await;
    assert_eq!(response.refusal(), (400, "invalid_input".to_owned()));
    let body = response.json();
    let details = body["error"]["details"].as_array().expect("details");
    let fields: Vec<_> = details.iter().map(|detail| &detail["field"]).collect();
    assert_eq!(fields, ["email", "password"], "{body}");
}

#[tokio::test]
async fn an_unsupported_content_type_is_rejected() {
    let api = TestApi::new().await;
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let response = api.send(post(wrong, valid_submission().to_string())).await;
        assert_eq!(
            response.refusal_with_message(),
            refusal(
                415,
                "unsupported_media_type",
                "We could not read your request. Please reload the page and try again. Details for developers: this \
                 Content-Type is not supported. Send application/json or multipart/form-data."
            ),
            "{wrong:?}"
        );
    }
    let response =
        api.send(post("Application/JSON; charset=utf-8", valid_submission().to_string())).await;
    assert_eq!(response.refusal().0, 503, "the content type is JSON");
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
        refusal(413, "body_too_large", TOO_LARGE)
    );
    let response = api.send(post("application/json", body.clone())).await;
    assert_eq!(response.refusal_with_message(), refusal(413, "body_too_large", TOO_LARGE));
    let response = api.send(post("application/json", body[1..].to_owned())).await;
    assert_eq!(response.refusal().1, "invalid_json", "the body is just within the limit");
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
                "We could not process your request. Please reload the page and try again. Details for developers: \
                 Idempotency-Key must be a single value of 1 to 255 visible ASCII characters."
            ),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn an_unpaired_surrogate_is_replaced() {
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
    let submission = received(&state, request).await.expect("valid");
    assert_eq!(submission.comments, "it itches \u{fffd}");
    assert_eq!(submission.images[0].record.name, "it itches \u{fffd}");

    // If an unpaired surrogate makes a field's value invalid, the error names that field.
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
async fn every_json_body_may_contain_an_unpaired_surrogate_and_a_byte_order_mark() {
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
            let message = "We could not read your request. Please try again. Details for developers: the body \
                 is not valid gzip. Send it again, or send it without Content-Encoding.";
            assert_eq!(
                api.send(request).await.refusal_with_message(),
                refusal(400, "invalid_gzip", message)
            );
        }
    }
}

#[tokio::test]
async fn the_error_for_an_unsupported_encoding_names_the_sent_and_the_accepted_encoding() {
    let api = TestApi::new().await;
    for path in ["/api/user/submit", "/api/v1/auth/login"] {
        let long = "x".repeat(100);
        for (encoding, named) in [
            ("br", "br"),
            ("Deflate", "deflate"),
            ("zstd", "zstd"),
            ("gzip, gzip", "gzip, gzip"),
            ("gzip, identity, br", "gzip, br"),
            (&long, &long[..40]),
        ] {
            let request = Request::post(path).header(CONTENT_TYPE, "application/json");
            let request = request.body(Body::from("{}")).expect("a request");
            let response = api.send(encoded(encoding, request)).await;
            let message = format!(
                "We could not read your request. Please reload the page and try again. Details for developers: the \
                 Content-Encoding {named} is not supported. Send the body as gzip, or without Content-Encoding."
            );
            assert_eq!(
                response.refusal_with_message(),
                refusal(415, "unsupported_content_encoding", &message),
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
        assert!(bomb.len() < 1024 * 1024, "the compressed body is smaller than the limit");
        let response = api.send(encoded("gzip", post(content_type, bomb))).await;
        assert_eq!(response.refusal(), (413, "body_too_large".to_owned()), "{content_type}");
    }
    let request = Request::post("/api/v1/auth/login").header(CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(gzip(&[b' '; 64 * 1024 + 1]))).expect("a request");
    let response = api.send(encoded("gzip", request)).await;
    assert_eq!(response.refusal(), (413, "body_too_large".to_owned()));
}

/// The compressed body alone exceeds the limit, although it decompresses to nothing.
#[tokio::test]
async fn a_compressed_body_over_the_size_limit_is_rejected() {
    let api = TestApi::with(|settings| {
        settings.max_files = 1;
        settings.max_file_bytes = 3;
    })
    .await;
    let nothing = gzip(b"").repeat(64 * 1024);
    assert!(nothing.len() > 1024 * 1024 + 4, "the compressed body is larger than the limit");
    for (path, content_type, limit) in [
        ("/api/user/submit", "application/json", "1 MB"),
        ("/api/user/submit", "multipart/form-data; boundary=x", "1 MB"),
        ("/api/v1/auth/login", "application/json", "64 KB"),
    ] {
        let request = Request::post(path).header(CONTENT_TYPE, content_type);
        let request = request.body(Body::from(nothing.clone())).expect("a request");
        let response = api.send(encoded("gzip", request)).await;
        assert_eq!(response.refusal(), (413, "body_too_large".to_owned()), "{path} {content_type}");
        let message = response.json()["message"].to_string();
        assert!(message.contains(&format!("at most {limit}")), "{path} {content_type}: {message}");
    }
}

/// The existing front end shows `errors` to patients.
#[tokio::test]
async fn errors_begin_with_a_sentence_for_patients() {
    let api = TestApi::new().await;
    let (json, form) = ("application/json", "multipart/form-data; boundary=x");
    let image = |image: serde_json::Value| post_json(&valid_except("images", json!([image])));
    let mut with_wrong_key = post_json(&valid_submission());
    with_wrong_key.headers_mut().insert("idempotency-key", "a b".parse().expect("a value"));
    for request in [
        post(json, "{"),
        post(json, "[]"),
        post(form, "no form"),
        post("text/plain", "no form"),
        encoded("gzip", post(json, "no gzip")),
        encoded("br", post(json, "{}")),
        with_wrong_key,
        image(json!({"data": "no base64"})),
        image(json!({"file_id": "7"})),
        post_json(&valid_except("images", json!(5))),
        post_json(&valid_except("photos", json!([json_image("image/png", b"x")]))),
        post_json(&valid_except("consent_version", json!(1))),
    ] {
        let response = api.send(request).await;
        assert!(response.status.is_client_error(), "{}", response.text);
        for error in response.json()["errors"].as_array().expect("errors") {
            let error = error.as_str().expect("text");
            let (for_patients, for_developers) =
                error.split_once(" Details for developers: ").unwrap_or((error, "."));
            assert!(for_patients.contains("lease ") || for_patients.contains("Allowed"), "{error}");
            assert!(for_patients.ends_with('.') && for_developers.ends_with('.'), "{error}");
            let lower = for_patients.to_lowercase();
            for jargon in
                ["json", "multipart", "base64", "gzip", "content-", "url", "body", "_", "field"]
            {
                assert!(!lower.contains(jargon), "{jargon} in {error}");
            }
        }
    }
}
