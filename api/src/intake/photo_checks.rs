//! Checks photos on blocking threads, and limits the CPU time and memory for it. Even a small file can take seconds and
//! hundreds of megabytes to decode.
//!
//! Waiting photos do not occupy blocking threads, because the storage and the database driver need the same threads.

use crate::error::{ApiError, ApiResult};
use crate::intake::image::Photo;
use crate::intake::photo_permits::{PhotoPermit, PhotoPermits};
use crate::intake::valid_submission::ValidImage;
use crate::intake::validation_errors::ImageError;
use std::net::IpAddr;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Checking a photo takes seconds, so a longer wait means that too many clients are sending large photos, or that this
/// client is sending too many.
const MAX_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct PhotoChecks {
    permits: PhotoPermits,
}

impl PhotoChecks {
    pub(crate) fn new() -> Self {
        // At least two, so that each client's share is at least one permit.
        Self::with_permits(available_parallelism().map_or(2, NonZero::get).max(2))
    }

    fn with_permits(permits: usize) -> Self {
        Self { permits: PhotoPermits::new(permits) }
    }

    /// Checks a photo on a blocking thread. `client` is [`crate::extract::client_info::ClientInfo::key`].
    ///
    /// # Errors
    /// [`ApiError::Busy`] if too many photos are waiting.
    pub(crate) async fn check(
        &self,
        client: IpAddr,
        photo: Photo,
    ) -> ApiResult<Result<ValidImage, ImageError>> {
        let permit = self.permit_within(MAX_WAIT, client, photo.decoding_bytes()).await?;
        // The check continues even if the caller stops waiting, so it owns the permit.
        let checked = spawn_blocking(move || {
            let _permit = permit;
            photo.check()
        });
        checked.await.map_err(|_| ApiError::internal("the photo check panicked"))
    }

    async fn permit_within(
        &self,
        max_wait: Duration,
        client: IpAddr,
        decoding_bytes: u64,
    ) -> ApiResult<PhotoPermit> {
        let permit = timeout(max_wait, self.permits.permit(client, decoding_bytes)).await;
        permit.unwrap_or(Err(ApiError::Busy))
    }

    /// Returns the number of photos that are being checked.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.permits.running()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_photo_that_waits_too_long_is_rejected() {
        let checks = PhotoChecks::with_permits(2);
        let client = Ipv4Addr::LOCALHOST.into();
        let short = Duration::from_millis(10);
        let permits = [1, 2].map(|_| checks.permit_within(short, client, 0).now_or_never());
        assert!(
            permits.iter().all(|permit| matches!(permit, Some(Ok(_)))),
            "two permits are available"
        );
        let third = checks.permit_within(short, client, 0).await;
        assert!(matches!(third, Err(ApiError::Busy)));
        drop(permits);
        assert!(
            checks.permit_within(short, client, 0).await.is_ok(),
            "the permits are available again"
        );
    }
}
