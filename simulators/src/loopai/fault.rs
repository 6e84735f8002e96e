//! Applies a scenario's faults to a request.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{Response as HttpResponse, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};

use super::{
    request_log::{NotSent, RequestNumber},
    scenario::Fault,
    state::Simulation,
};
use crate::http::ConnectionControl;

pub(super) const LOGIN_PATH: &str = "/login";

const HUGE_START: &[u8] = br#"{"status":"COMPLETED","result":{"padding":""#;
const HUGE_END: &[u8] = br#""}}"#;
const HUGE_CHUNK: usize = 64 * 1024;

pub(super) struct Responder {
    pub(super) simulation: Arc<Simulation>,
    pub(super) number: RequestNumber,
    pub(super) connection: ConnectionControl,
}

impl Responder {
    /// Applies `fault`, or responds with `normal` if there is none.
    pub(super) async fn respond(&self, fault: Option<Fault>, normal: Value) -> Response {
        let faulty = match fault {
            Some(fault) => self.fault_response(fault, normal.clone()).await,
            None => None,
        };
        faulty.unwrap_or_else(|| Json(normal).into_response())
    }

    /// Applies the fault. Returns the response to send instead of `normal`, or `None` to send `normal`.
    pub(super) async fn fault_response(&self, fault: Fault, normal: Value) -> Option<Response> {
        self.simulation.log.set_fault(self.number, fault.to_string());
        let response = match fault {
            Fault::Status { code, retry_after } => error_response(code, retry_after),
            Fault::Hang => {
                self.simulation.stop.cancelled().await;
                self.close_connection()
            }
            Fault::Reset => {
                self.connection.reset();
                not_sent()
            }
            Fault::Drop => self.close_connection(),
            Fault::Cut => cut(&body_text(&normal)),
            Fault::Html => {
                Html("<!doctype html><title>Bad gateway</title><h1>Please try again later</h1>")
                    .into_response()
            }
            Fault::Truncated => truncated(&body_text(&normal)),
            Fault::Unknown(word) => with_field(normal, "status", Some(word.into())),
            Fault::NoId => with_field(normal, "execution_id", None),
            Fault::Huge(bytes) => json_stream(Body::from_stream(huge(bytes).map(io::Result::Ok))),
            Fault::Redirect => {
                (StatusCode::FOUND, [(header::LOCATION, LOGIN_PATH)]).into_response()
            }
            Fault::Slow(delay) => {
                let wait = tokio::time::sleep(delay);
                match self.simulation.stop.run_until_cancelled(wait).await {
                    Some(()) => return None,
                    None => self.close_connection(),
                }
            }
        };
        Some(response)
    }

    fn close_connection(&self) -> Response {
        self.connection.close();
        not_sent()
    }
}

/// Returns a placeholder response. Handlers must return one even if the connection ends first.
fn not_sent() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(NotSent);
    response
}

fn error_response(code: u16, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(json!({"error": format!("simulated {status}")}));
    match retry_after {
        Some(seconds) => {
            (status, [(header::RETRY_AFTER, seconds.to_string())], body).into_response()
        }
        None => (status, body).into_response(),
    }
}

/// Returns the text that a faulty response sends in part. A request that has no effect has no normal response, so a
/// plausible text is used.
fn body_text(normal: &Value) -> String {
    match normal {
        Value::Null => json!({"execution_id": "00000000-0000-0000-0000-000000000000"}).to_string(),
        normal => normal.to_string(),
    }
}

fn truncated(text: &str) -> Response {
    let half = String::from_utf8_lossy(&text.as_bytes()[..text.len() / 2]).into_owned();
    ([(header::CONTENT_TYPE, "application/json")], half).into_response()
}

/// Announces the full length of the text, sends half of it, and closes the connection.
fn cut(text: &str) -> Response {
    let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let body = stream::once(async { Ok(half) }).chain(stream::once(async {
        // Unsent data is discarded when a body fails, so the pause gives the server time to send the first half.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    }));
    let mut response = json_stream(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
    response
}

fn with_field(mut normal: Value, field: &str, value: Option<Value>) -> Response {
    if normal.is_null() {
        normal = json!({});
    }
    if let Some(fields) = normal.as_object_mut() {
        fields.remove(field);
        fields.extend(value.map(|value| (field.to_owned(), value)));
    }
    Json(normal).into_response()
}

fn json_stream(body: Body) -> Response {
    let mut response = HttpResponse::new(body);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Streams valid JSON of exactly `size` bytes, or of the minimum possible size if `size` is smaller.
fn huge(size: u64) -> impl Stream<Item = Bytes> {
    let frame = (HUGE_START.len() + HUGE_END.len()) as u64;
    let padding = size.saturating_sub(frame);
    let chunk = Bytes::from(vec![b'x'; HUGE_CHUNK]);
    let middle = stream::unfold(padding, move |left| {
        let take = left.min(HUGE_CHUNK as u64);
        let bytes = chunk.slice(..take as usize);
        async move { (take > 0).then_some((bytes, left - take)) }
    });
    stream::once(async { Bytes::from_static(HUGE_START) })
        .chain(middle)
        .chain(stream::once(async { Bytes::from_static(HUGE_END) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_huge_body_is_valid_json_of_the_requested_size() {
        let size = 200_000;
        let bytes: Vec<u8> = huge(size).collect::<Vec<_>>().await.concat();
        assert_eq!(bytes.len() as u64, size);
        let json: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(json["status"], "COMPLETED");
    }
}
