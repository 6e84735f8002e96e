//! Records one span, one log entry and two metrics per request. They contain the method, the route template, the status
//! and the duration, but never a body, a token, an e-mail address or a query.

use crate::header_names::X_REQUEST_ID;
use crate::request_id;
use crate::request_id::RequestId;
use crate::telemetry;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use diagflow_store::SubmissionId;
use std::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// Metric label for paths without a route and for unknown methods.
const OTHER: &str = "other";

/// A request in progress. The request is logged when this value is dropped, even if the client has disconnected.
struct ObservedRequest {
    method: &'static str,
    route: String,
    started: Instant,
    status: Option<StatusCode>,
    span: Span,
}

impl ObservedRequest {
    fn start(request: &Request, id: &RequestId) -> Self {
        let method = method_name(request.method());
        let matched = request.extensions().get::<MatchedPath>();
        let route = matched.map_or(OTHER, MatchedPath::as_str).to_owned();
        let span =
            tracing::info_span!("request", request_id = %id, method, route, submission = Empty);
        Self { method, route, started: Instant::now(), status: None, span }
    }
}

impl Drop for ObservedRequest {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let status = self.status.map_or("aborted".to_owned(), |status| status.as_str().to_owned());
        let latency_ms = elapsed.as_secs_f64() * 1000.0;
        self.span.in_scope(|| tracing::info!(status, latency_ms, "request completed"));
        telemetry::request(self.method, std::mem::take(&mut self.route), status, elapsed);
    }
}

pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let mut observed = ObservedRequest::start(&request, &id);
    let work = request_id::scope(id.clone(), next.run(request)).instrument(observed.span.clone());
    let mut response = work.await;
    observed.status = Some(response.status());
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    response
}

/// Adds the id of a submission to the log entries of the request that sends it. It is the only id that a patient can
/// report.
pub(crate) fn record_submission(id: SubmissionId) {
    Span::current().record("submission", tracing::field::display(id));
}

/// Unknown methods share one name, so clients cannot create new metric labels.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}
