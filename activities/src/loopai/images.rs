//! Transfers the patients' images to LoopAI, either in the request or as links that LoopAI fetches.

use super::client::{Image, ImageContent};
use diagflow_store::{BlobError, BlobStore, File, FileId, LinkKey};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

#[derive(Clone)]
pub enum ImageTransfer {
    /// The request contains the images.
    Data(BlobStore),
    /// The request contains signed links. It stays small, and no worker reads a patient's images.
    Links(Box<ImageLinks>),
}

#[derive(Clone)]
pub struct ImageLinks {
    pub key: LinkKey,
    /// Address at which LoopAI reaches the API.
    pub public_url: Url,
    /// A link is valid for at least this long, and for at most twice as long.
    pub lifetime: Duration,
}

impl ImageLinks {
    fn url(&self, file: FileId) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let lifetime = self.lifetime.as_secs().max(1);
        // Rounded to whole lifetimes, so that a repeated request usually has the same body: a platform may refuse a
        // known Idempotency-Key with a different body.
        let expires = (now / lifetime + 2) * lifetime;
        let base = self.public_url.as_str().trim_end_matches('/');
        format!("{base}{}", self.key.path(file, expires))
    }
}

impl ImageTransfer {
    /// Number of bytes of these files that a request contains.
    pub(crate) fn embedded_bytes(&self, files: &[File]) -> u64 {
        match self {
            ImageTransfer::Data(_) => files.iter().map(|file| file.size.unsigned_abs()).sum(),
            ImageTransfer::Links(_) => 0,
        }
    }

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
