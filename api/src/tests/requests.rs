//! Images and requests for tests.

use crate::app::AppState;
use crate::error::ApiResult;
use crate::intake::form_texts::FormTexts;
use crate::intake::receive::receive;
use crate::intake::valid_submission::ValidSubmission;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use std::io::Cursor;

const BOUNDARY: &str = "----a-boundary";

pub(super) fn picture(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::new(3, 2).write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

pub(super) fn json_image(media_type: &str, bytes: &[u8]) -> Value {
    let data = format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes));
    json!({ "data": data, "type": media_type, "size": bytes.len(), "name": "photo" })
}

pub(super) fn valid_submission() -> Value {
    let image = json_image("image/png", &picture(ImageFormat::Png));
    json!({ "email": "me@example.org", "comments": "Since Monday", "consent": true, "images": [image] })
}

pub(super) fn valid_except(member: &str, value: Value) -> Value {
    let mut body = valid_submission();
    body[member] = value;
    body
}

pub(super) fn valid_with_images(images: impl Into<Value>) -> Value {
    valid_except("images", images.into())
}

pub(super) fn post_json(body: &Value) -> Request<Body> {
    post("application/json", body.to_string())
}

pub(super) fn post(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/api/user/submit")
        .header(CONTENT_TYPE, content_type)
        .body(body.into())
        .expect("a request")
}

pub(super) async fn received(
    state: &AppState,
    request: Request<Body>,
) -> ApiResult<ValidSubmission> {
    receive(state, request, &mut FormTexts::default()).await
}

#[derive(Default)]
pub(super) struct Form(Vec<u8>);

impl Form {
    pub(super) fn text(self, name: &str, text: &str) -> Self {
        self.part(&format!("name=\"{name}\""), "", text.as_bytes())
    }

    pub(super) fn file(self, name: &str, file: &str, media_type: &str, bytes: &[u8]) -> Self {
        let about = format!("name=\"{name}\"; filename=\"{file}\"");
        self.part(&about, &format!("Content-Type: {media_type}\r\n"), bytes)
    }

    /// Adds a part with these parameters and headers.
    pub(super) fn part(mut self, about: &str, headers: &str, bytes: &[u8]) -> Self {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {about}\r\n{headers}\r\n");
        self.0.extend(head.as_bytes());
        self.0.extend(bytes);
        self.0.extend(b"\r\n");
        self
    }

    pub(super) fn post(self) -> Request<Body> {
        let mut body = self.0;
        body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
        post(&format!("multipart/form-data; boundary={BOUNDARY}"), body)
    }

    /// Omits the closing boundary, as happens when a connection breaks behind a proxy.
    pub(super) fn post_unfinished(self) -> Request<Body> {
        post(&format!("multipart/form-data; boundary={BOUNDARY}"), self.0)
    }
}
