//! The client that opens an event stream.

use crate::app::AppState;
use crate::error::ErrorCode;
use crate::extract::client_info::ClientInfo;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::IpAddr;

pub(crate) struct StreamClient {
    /// See [`ClientInfo::key`].
    pub(crate) key: IpAddr,
}

/// Whether the client accepts event streams, as an `EventSource` does.
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|it| it.contains("text/event-stream"))
}

impl FromRequestParts<AppState> for StreamClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let client = ClientInfo::from_request_parts(parts, state).await?;
        Ok(Self { key: client.key() })
    }
}

impl Documented for StreamClient {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_errors(&[ErrorCode::TooManyStreams]);
    }
}
