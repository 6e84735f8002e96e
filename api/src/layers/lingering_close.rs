//! Reads the data that a client keeps sending after the response has been sent. If a connection is closed with unread
//! bytes, the operating system resets it, and the client may lose the error response (RFC 9112, section 9.6).

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::StreamExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;

/// Reads and discards the part of a request body that the handler did not read, for at most `max_time`.
pub(crate) fn drain_unread_body(request: Request, max_time: Duration) -> Request {
    request.map(|body| Body::new(DrainedBody { body, max_time }))
}

struct DrainedBody {
    max_time: Duration,
    /// Replaced by an empty body after the end of the body or an error.
    body: Body,
}

impl HttpBody for DrainedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = Body::empty();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        // Without a runtime, there is no connection to read from.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut rest = mem::take(&mut self.body).into_data_stream();
        runtime.spawn(tokio::time::timeout(self.max_time, async move {
            while let Some(Ok(_)) = rest.next().await {}
        }));
    }
}
