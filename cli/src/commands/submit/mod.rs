//! `diagflow submit`: sends photos and follows them to the result. The quickest way to see it work.

mod client;
mod show;
mod stream;

use anyhow::{Context, bail};
use client::{Accepted, Client, Photo};
use futures::StreamExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::Message;
use url::Url;

/// Pause before a broken stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);

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

/// Sends, follows and shows.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let photos = args.photos.iter().map(Photo::read).collect::<Result<Vec<_>, _>>()?;
    let client = Client::new(args.server)?;
    let begun = Instant::now();
    let accepted = client.submit(&args.email, &args.comments, args.consent, photos).await?;
    show::accepted(&accepted);
    follow(&client, &accepted, begun).await?;
    let status = client.status(&accepted).await?;
    show::result(&status);
    if status["status"] != "completed" {
        bail!("the submission ended as {}", status["status"].as_str().unwrap_or("unknown"));
    }
    Ok(())
}

/// Prints events until the stream has told everything; a stream that breaks is resumed.
async fn follow(client: &Client, accepted: &Accepted, begun: Instant) -> anyhow::Result<()> {
    let mut last_id = None;
    loop {
        match client.events(accepted, last_id.as_deref()).await {
            Ok(None) => return Ok(()),
            Ok(Some(mut events)) => {
                while let Some(message) = events.next().await {
                    let Ok(Message { id, data, .. }) = message else { break };
                    let event: serde_json::Value =
                        serde_json::from_str(&data).context("the event is no JSON")?;
                    show::event(begun.elapsed(), &event);
                    last_id = Some(id);
                }
            }
            Err(error) if error.downcast_ref::<client::Refused>().is_some() => return Err(error),
            Err(error) => show::interruption(&error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
