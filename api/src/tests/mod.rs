//! Tests without a server or a database. Requests are sent through the router, and a request that passes all checks
//! receives 503 `unavailable`.

mod audit;
mod bodies;
mod clients;
mod documentation;
mod edges;
mod email_addresses;
mod forms;
mod found_cases;
mod page_assets;
mod pages_console;
mod photo_load;
mod quota;
mod refusals;
mod requests;
mod slow_clients;
mod start_page;
mod streams;
mod submissions;
mod uploads;

use crate::app::{App, AppState, StartProblem};
use crate::dispatch::{Dispatch, DispatchSettings};
use crate::router;
use crate::settings::ApiSettings;
use crate::telemetry::metrics_builder;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use diagflow_store::{AuditKey, BlobStore, Eraser, PoolSettings, ReceiptKey, Store};
use diagflow_workflows::PollSchedule;
use futures::FutureExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

/// Returns a store whose database does not exist.
pub(crate) async fn unreachable_store() -> Store {
    let settings = PoolSettings {
        url: "mysql://nobody@127.0.0.1:1/nothing".to_owned(),
        size: 2,
        pool_timeout: Duration::from_millis(50),
        statement_timeout: Duration::from_millis(50),
    };
    Store::connect(&settings).await.expect("a pool")
}

struct TestApi {
    app: App,
    /// Folder of the file storage.
    _folder: TempDir,
}

struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl TestResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Checks the format of an error response, and returns its status and code.
    fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["success"], false, "{body}");
        assert_eq!(body["message"], body["error"]["message"], "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        // The existing front end shows only the messages in `errors`.
        let details = body["error"]["details"].as_array().expect("details");
        let expected: Vec<_> = match details.as_slice() {
            [] => vec![&body["message"]],
            details => details.iter().map(|detail| &detail["message"]).collect(),
        };
        assert_eq!(body["errors"], serde_json::json!(expected), "{body}");
        (self.status.as_u16(), body["error"]["code"].as_str().expect("a code").to_owned())
    }

    fn refusal_with_message(&self) -> (u16, String, String) {
        let (status, code) = self.refusal();
        let message = self.json()["message"].as_str().expect("a message").to_owned();
        (status, code, message)
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}

/// An expected value of [`TestResponse::refusal_with_message`].
fn refusal(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.to_owned(), message.to_owned())
}

async fn send_to(router: Router, request: Request<Body>) -> TestResponse {
    let response: Response = router.oneshot(request).await.expect("never fails");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let text = String::from_utf8(bytes.into()).expect("text");
    TestResponse { status: parts.status, headers: parts.headers, text }
}

impl TestApi {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = Url::from_directory_path(folder.path()).expect("an address");
        let store = unreachable_store().await;
        let schedule = PollSchedule { waits_ms: vec![5000], deadline_ms: 3_600_000 };
        let dispatch_settings = DispatchSettings {
            task_queue: "none".to_owned(),
            schedule,
            sweep_interval: Duration::from_secs(1),
            reconcile_after: Duration::from_secs(1),
            reconcile_interval: Duration::from_secs(1),
            orphaned_file_age: Duration::from_secs(1),
            retention: None,
        };
        let blobs = BlobStore::open(&address).expect("a folder");
        let no_temporal = tokio::sync::watch::channel(None).1;
        let public_url = "https://diagflow.example.org/".parse().expect("an address");
        let mut settings = ApiSettings::new("a secret".into(), public_url);
        change(&mut settings);
        let keys = (ReceiptKey::new(&"a secret".into()), AuditKey::new(&"a secret".into()));
        let eraser = Eraser::new(store.clone(), blobs.clone(), keys.0, keys.1, None);
        let (dispatch, _) = Dispatch::new(
            store.clone(),
            blobs.clone(),
            eraser.clone(),
            no_temporal,
            dispatch_settings,
        );
        let app = App {
            dispatch,
            eraser,
            store,
            bytes: blobs,
            temporal_health: Arc::new(|| async { Err(StartProblem::TemporalUnreachable) }.boxed()),
            metrics: metrics_builder().build_recorder().handle(),
            settings,
            setting_list: Arc::default(),
        };
        Self { app, _folder: folder }
    }

    fn state(&self) -> AppState {
        AppState::new(self.app.clone(), CancellationToken::new())
    }

    async fn send(&self, request: Request<Body>) -> TestResponse {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = send_to(router(self.app.clone()), request).await;
        documentation::expect_documented(|| self.state(), &method, &path, &response);
        response
    }

    async fn get(&self, path: &str) -> TestResponse {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }
}
