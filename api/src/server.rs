//! Serves until it is asked to end, then lets requests end.

use crate::app::{App, AppState};
use crate::router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves `app` on `listener` until `shutdown` is cancelled. Then takes no new connections, ends
/// event streams with a hint when to come back, and lets requests go on for at most the settings'
/// `shutdown_time`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let grace = app.settings.shutdown_time;
    let state = AppState::new(app, shutdown.clone());
    // Events are small and must not wait for more.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on a connection");
        }
    });
    let server = axum::serve(listener, router::build(state))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = server => ended,
        () = late => {
            tracing::warn!("some requests had not ended in time, and were cut off");
            Ok(())
        }
    }
}
