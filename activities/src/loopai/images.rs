//! How LoopAI gets the patients' images: with the request, or by links that it follows itself.

use super::client::{Image, ImageContent};
use diagflow_store::{BlobError, BlobStore, File, FileId, LinkKey};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// `LOOPAI_IMAGES`: see the head of this file.
#[derive(Clone)]
pub enum ImageTransfer {
    /// `data`: within the request, as the platform has always got them.
    Data(BlobStore),
    /// `url`: by signed links. The request stays small, and no worker holds a patient's images.
    Links(Box<ImageLinks>),
}

/// Makes links to files of the API.
#[derive(Clone)]
pub struct ImageLinks {
    /// Signs them.
    pub key: LinkKey,
    /// `PUBLIC_URL`: where LoopAI reaches the API.
    pub public_url: Url,
    /// `LOOPAI_IMAGE_URL_LIFETIME_SECONDS`: how long a link is valid at least; at most twice as long.
    pub lifetime: Duration,
}

impl ImageLinks {
    fn url(&self, file: FileId) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let lifetime = self.lifetime.as_secs().max(1);
        // In whole lifetimes, so that a repeated request is the same text: a platform may refuse an
        // Idempotency-Key that comes with another body.
        let expires = (now / lifetime + 2) * lifetime;
        let base = self.public_url.as_str().trim_end_matches('/');
        format!("{base}{}", self.key.path(file, expires))
    }
}

impl ImageTransfer {
    /// How many bytes of these files a request carries.
    pub(crate) fn embedded_bytes(&self, files: &[File]) -> u64 {
        match self {
            ImageTransfer::Data(_) => files.iter().map(|file| file.size.unsigned_abs()).sum(),
            ImageTransfer::Links(_) => 0,
        }
    }

    /// A file as LoopAI gets it.
    ///
    /// # Errors
    /// When its bytes are needed and cannot be read.
    pub async fn image(&self, file: File) -> Result<Image, BlobError> {
        let content = match self {
            ImageTransfer::Data(files) => ImageContent::Data(files.get(file.sha256).await?),
            ImageTransfer::Links(links) => ImageContent::Url(links.url(file.id)),
        };
        Ok(Image {
            name: file.name,
            media_type: file.media_type,
            size: file.size,
            sha256: file.sha256,
            content,
        })
    }
}
