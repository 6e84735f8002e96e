//! Tests that need no server: requests go through the router, to a database that cannot be reached.
//! Whatever is refused there was refused before the database was asked.

mod documentation;
mod edges;
mod forms;
mod refusals;
mod requests;
mod submissions;
mod uploads;

use crate::app::App;
use crate::app::AppState;
use crate::dispatch::outbox::{Outbox, StarterSettings};
use crate::dispatch::runs::Runs;
use crate::router;
use crate::settings::ApiSettings;
use crate::telemetry::metrics_builder;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use diagflow_store::{FileBytes, PoolSettings, Store};
use diagflow_workflows::PollSchedule;
use futures::FutureExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

/// Records that nobody can reach: what is answered without them is answered before they are asked.
pub(crate) async fn unreachable_store() -> Store {
    let settings = PoolSettings {
        url: "mysql://nobody@127.0.0.1:1/nothing".to_owned(),
        size: 2,
        wait: Duration::from_millis(50),
        statement: Duration::from_millis(50),
    };
    Store::connect(&settings).await.expect("a pool")
}

/// The API without a database.
struct TestApi {
    app: App,
    /// Holds the images' bytes while the test runs.
    _folder: TempDir,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Status and stable code of a refusal, after a look at its envelope.
    fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["success"], false, "{body}");
        assert_eq!(body["message"], body["error"]["message"], "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        (self.status.as_u16(), body["error"]["code"].as_str().expect("a code").to_owned())
    }

    /// What people read of a refusal, with its status and code.
    fn refused(&self) -> (u16, String, String) {
        let (status, code) = self.refusal();
        let sentence = self.json()["message"].as_str().expect("a sentence").to_owned();
        (status, code, sentence)
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}

/// A refusal as [`Answer::refused`] tells it.
fn told(status: u16, code: &str, sentence: &str) -> (u16, String, String) {
    (status, code.to_owned(), sentence.to_owned())
}

async fn answer_of(router: Router, request: Request<Body>) -> Answer {
    let response: Response = router.oneshot(request).await.expect("never fails");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let text = String::from_utf8(bytes.into()).expect("text");
    Answer { status: parts.status, headers: parts.headers, text }
}

impl TestApi {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings than the default ones.
    async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let folder = TempDir::new().expect("a folder");
        let address = Url::from_directory_path(folder.path()).expect("an address");
        let store = unreachable_store().await;
        let schedule = PollSchedule::default();
        let starter = StarterSettings {
            task_queue: "none".to_owned(),
            schedule,
            sweep_every: Duration::from_secs(1),
        };
        let no_temporal = tokio::sync::watch::channel(None).1;
        let public_url = "https://diagflow.example.org/".parse().expect("an address");
        let mut settings = ApiSettings::new("a secret".into(), public_url);
        change(&mut settings);
        let app = App {
            runs: Runs::new(no_temporal.clone()),
            outbox: Outbox::new(store.clone(), no_temporal, starter).0,
            store,
            bytes: FileBytes::open(&address).expect("a folder"),
            temporal: Arc::new(|| async { false }.boxed()),
            metrics: metrics_builder().build_recorder().handle(),
            settings,
        };
        Self { app, _folder: folder }
    }

    fn state(&self) -> AppState {
        AppState::new(self.app.clone(), CancellationToken::new())
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        answer_of(router(self.app.clone()), request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }
}
