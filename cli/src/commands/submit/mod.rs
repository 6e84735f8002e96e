//! `diagflow submit`: sends photos and follows them to the result. The quickest way to see it work.

mod client;
mod show;
mod stream;

use anyhow::{Context, bail};
use client::{Accepted, Client, Photo};
use futures::StreamExt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::Message;
use url::Url;

/// Pause before a broken stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stream may be silent before it counts as broken: three of the API's usual heartbeats. The
/// other end may be gone without a word.
const SILENCE: Duration = Duration::from_secs(45);

/// Arguments of `diagflow submit`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Photos to send: JPEG, PNG or WebP.
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// Address that the result is sent to.
    #[arg(long)]
    email: String,
    /// What you want to say about the photos.
    #[arg(long, default_value = "")]
    comments: String,
    /// You agree that the photos are diagnosed by an external AI platform.
    #[arg(long)]
    consent: bool,
    /// Address of the API.
    #[arg(long, env = "DIAGFLOW_URL", default_value = "http://127.0.0.1:8080")]
    server: Url,
}

/// Sends, follows and shows, for as long as anybody reads it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match send_and_follow(args).await {
        Err(error) if nobody_reads(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Whether the reader of our output went away, as `head` does. The submission goes on without us.
fn nobody_reads(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn send_and_follow(args: Args) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let photos = args.photos.iter().map(Photo::read).collect::<Result<Vec<_>, _>>()?;
    let client = Client::new(args.server, SILENCE)?;
    let begun = Instant::now();
    let accepted = client.submit(&args.email, &args.comments, args.consent, photos).await?;
    show::accepted(&mut out, &accepted)?;
    follow(&client, &accepted, begun, &mut out).await?;
    let status = client.status(&accepted).await?;
    show::result(&mut out, &status)?;
    if status["status"] != "completed" {
        bail!("the submission ended as {}", status["status"].as_str().unwrap_or("unknown"));
    }
    Ok(())
}

/// Prints events until the stream has told everything; a stream that breaks is resumed.
async fn follow(
    client: &Client,
    accepted: &Accepted,
    begun: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut last_id = None;
    loop {
        match client.events(accepted, last_id.as_deref()).await {
            Ok(None) => return Ok(()),
            Ok(Some(mut events)) => {
                while let Some(message) = events.next().await {
                    let Message { id, data, .. } = match message {
                        Ok(message) => message,
                        Err(error) => {
                            show::interruption(out, &error)?;
                            break;
                        }
                    };
                    let event: serde_json::Value =
                        serde_json::from_str(&data).context("the event is no JSON")?;
                    show::event(out, begun.elapsed(), &event)?;
                    last_id = Some(id);
                }
            }
            Err(error) if error.downcast_ref::<client::Refused>().is_some() => return Err(error),
            Err(error) => show::interruption(out, &error)?,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use tokio::net::TcpListener;

    /// A stream that tells one event and then falls silent; who has it, has everything.
    async fn events(headers: HeaderMap) -> Response {
        if headers.get("last-event-id").is_some_and(|id| id == "1") {
            return StatusCode::NO_CONTENT.into_response();
        }
        let event = Bytes::from_static(b"id: 1\ndata: {\"message\": \"Hello\"}\n\n");
        let once = futures::stream::iter([Ok::<_, io::Error>(event)]);
        Body::from_stream(once.chain(futures::stream::pending())).into_response()
    }

    #[tokio::test]
    async fn a_stream_that_fell_silent_is_resumed_after_its_last_event() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = format!("http://{}/", listener.local_addr().expect("an address"));
        let router = Router::new().route("/events", get(events));
        tokio::spawn(axum::serve(listener, router).into_future());
        let accepted: Accepted = serde_json::from_value(serde_json::json!({
            "submission_id": "s", "status_url": "", "access_token": "t",
            "events_url": format!("{server}events"),
        }))
        .expect("an answer");
        let client = Client::new(server.parse().expect("an address"), Duration::from_millis(200));
        let (client, mut out) = (client.expect("a client"), Vec::new());

        let followed = follow(&client, &accepted, Instant::now(), &mut out);
        let followed = tokio::time::timeout(Duration::from_secs(20), followed).await;

        followed.expect("ends in time").expect("ends well");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.matches("Hello").count(), 1, "{text}");
        assert_eq!(text.matches("connection lost, resuming").count(), 1, "{text}");
    }
}
