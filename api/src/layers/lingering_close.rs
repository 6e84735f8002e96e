//! Reads what a client still sends after its answer. Closing with bytes unread makes the operating system
//! reset the connection, and the client then loses the answer that says what was wrong (RFC 9112, 9.6).

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

/// How long a client may go on sending what nobody wants; nginx's default for its `lingering_time`.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Has the rest of a request's body read when its handler does without it. Nothing of it is kept.
pub(crate) fn drain_unread_body(request: Request) -> Request {
    request.map(|body| Body::new(DrainedBody { body }))
}

struct DrainedBody {
    /// Empty once it ended or broke.
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
        // Without a runtime nobody sends any more.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut rest = mem::take(&mut self.body).into_data_stream();
        runtime.spawn(tokio::time::timeout(MAX_TIME, async move {
            while let Some(Ok(_)) = rest.next().await {}
        }));
    }
}
