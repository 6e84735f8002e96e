//! `diagflow submit`: submits photos and prints the progress and the result.

mod client;
mod show;
mod stream;

use anyhow::{Context, bail};
use client::{AcceptedSubmission, Client, Photo, Rejected, Unavailable};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::SseEvent;
use url::Url;

const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Three times the API's heartbeat interval. Without a read timeout, a dead connection could go undetected.
const READ_TIMEOUT: Duration = Duration::from_secs(45);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Photos to submit: JPEG, PNG or WebP
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// E-mail address for the result
    #[arg(long)]
    email: String,
    /// Comments on the photos
    #[arg(long, default_value = "")]
    comments: String,
    /// Consent to having the photos diagnosed by an external AI platform
    #[arg(long)]
    consent: bool,
    /// Address of the API
    #[arg(long, env = "DIAGFLOW_URL", default_value = "http://127.0.0.1:8080")]
    server: Url,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match submit_and_follow(args).await {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Returns whether the program reading the output, such as `head`, has exited. The submission itself continues.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn submit_and_follow(args: Args) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let photos = args.photos.iter().map(Photo::read).collect::<Result<Vec<_>, _>>()?;
    let client = Client::new(args.server, READ_TIMEOUT)?;
    let started = Instant::now();
    let accepted = client.submit(&args.email, &args.comments, args.consent, photos).await?;
    show::accepted(&mut out, &accepted)?;
    let status = follow(&client, &accepted, started, &mut out).await?;
    show::result(&mut out, &status)?;
    if status["status"] != "completed" {
        bail!("the submission has the status {}", status["status"].as_str().unwrap_or("unknown"));
    }
    Ok(())
}

/// Prints events until the stream ends, and returns the submission's final status. Reconnects after an interruption,
/// and keeps retrying while the API is unavailable.
async fn follow(
    client: &Client,
    accepted: &AcceptedSubmission,
    started: Instant,
    out: &mut impl Write,
) -> anyhow::Result<Value> {
    let mut last_id = None;
    loop {
        let outcome = match client.events(accepted, last_id.as_deref()).await {
            Ok(None) => client.status(accepted).await.map(Some),
            Ok(Some(events)) => {
                print_events(events, &mut last_id, started, out).await.map(|()| None)
            }
            Err(error) => Err(error),
        };
        let mut pause = RECONNECT_PAUSE;
        match outcome {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) if error.is::<Rejected>() || error.is::<io::Error>() => return Err(error),
            Err(error) => {
                let unavailable = error.downcast_ref::<Unavailable>();
                pause = unavailable
                    .and_then(|unavailable| unavailable.retry_after)
                    .unwrap_or(RECONNECT_PAUSE);
                show::interruption(out, &error)?;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Prints the events from one stream and stores the id of the last event in `last_id`.
async fn print_events(
    mut events: BoxStream<'static, Result<SseEvent, reqwest::Error>>,
    last_id: &mut Option<String>,
    started: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    while let Some(message) = events.next().await {
        let SseEvent { id, data } = message?;
        let event: Value = serde_json::from_str(&data).context("an event is not valid JSON")?;
        show::event(out, started.elapsed(), &event)?;
        *last_id = Some(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::net::TcpListener;

    const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

    /// Runs `follow` and returns the final status and the output.
    async fn follow_at(router: Router) -> (Value, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(axum::serve(listener, router).into_future());
        let accepted: AcceptedSubmission = serde_json::from_value(json!({
            "submission_id": "s", "status_url": format!("{server}status"), "access_token": "t",
            "events_url": format!("{server}events"),
        }))
        .expect("a response");
        let client =
            Client::new(server.parse().expect("an address"), SHORT_TIMEOUT).expect("a client");
        let mut out = Vec::new();
        let following = follow(&client, &accepted, Instant::now(), &mut out);
        let status = tokio::time::timeout(Duration::from_secs(20), following).await;
        let status = status.expect("an end before the timeout").expect("a final status");
        (status, String::from_utf8(out).expect("text"))
    }

    /// Returns a stream that sends one event and then no more data.
    async fn silent(headers: HeaderMap) -> Response {
        if headers.get("last-event-id").is_some_and(|id| id == "1") {
            return StatusCode::NO_CONTENT.into_response();
        }
        let event = Bytes::from_static(b"id: 1\ndata: {\"message\": \"Hello\"}\n\n");
        let once = futures::stream::iter([Ok::<_, io::Error>(event)]);
        Body::from_stream(once.chain(futures::stream::pending())).into_response()
    }

    async fn completed() -> Json<Value> {
        Json(json!({"status": "completed"}))
    }

    #[tokio::test]
    async fn a_silent_stream_is_resumed_after_its_last_event() {
        let router = Router::new().route("/events", get(silent)).route("/status", get(completed));

        let (_, text) = follow_at(router).await;

        assert_eq!(text.matches("Hello").count(), 1, "{text}");
        assert_eq!(text.matches("interrupted, resuming").count(), 1, "{text}");
    }

    #[tokio::test]
    async fn requests_to_an_unavailable_server_are_retried() {
        let requests = Arc::new(AtomicUsize::new(0));
        let events = get(async move || match requests.fetch_add(1, Ordering::Relaxed) {
            0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
            1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        });
        let router = Router::new().route("/events", events).route("/status", get(completed));

        let (status, text) = follow_at(router).await;

        assert_eq!(status["status"], "completed");
        assert!(text.contains("429") && text.contains("503"), "{text}");
    }
}
