//! Sends patients' images to LoopAI, either inline in the request or as links that LoopAI fetches.

use super::client::{Image, ImageContent};
use diagflow_store::{BlobError, BlobStore, File, FileId, LinkKey, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

#[derive(Clone)]
pub enum ImageTransfer {
    /// Requests contain the images.
    Data(BlobStore),
    /// Requests contain signed links to the images. This keeps requests small, and workers need not read the images.
    Links(Box<ImageLinks>),
}

#[derive(Clone)]
pub struct ImageLinks {
    pub key: LinkKey,
    /// URL at which LoopAI can reach the API.
    pub public_url: Url,
    /// Minimum lifetime of a link. A link is valid for at most twice this time.
    pub lifetime: Duration,
}

impl ImageLinks {
    fn url(&self, file: FileId) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let lifetime = self.lifetime.as_secs().max(1);
        // The expiry is rounded to whole lifetimes so that a repeated request usually contains the same links.
        // Otherwise, a platform might reject a known Idempotency-Key whose request body has changed.
        let expires = (now / lifetime + 2) * lifetime;
        let base = self.public_url.as_str().trim_end_matches('/');
        format!("{base}{}", self.key.path(file, expires))
    }
}

impl ImageTransfer {
    /// Returns the number of image bytes in a request with these files.
    pub(crate) fn embedded_bytes(&self, files: &[File]) -> u64 {
        match self {
            ImageTransfer::Data(_) => {
                files.iter().map(|file| file.cleaned_size.unsigned_abs()).sum()
            }
            ImageTransfer::Links(_) => 0,
        }
    }

    pub async fn image(&self, file: File) -> Result<Image, BlobError> {
        let (size, sha256, content) = match self {
            ImageTransfer::Data(files) => {
                let bytes = files.cleaned(&file).await?;
                (bytes.len() as u64, Sha256::of(&bytes), ImageContent::Data(bytes))
            }
            ImageTransfer::Links(links) => {
                let content = ImageContent::Url(links.url(file.id));
                (file.cleaned_size.unsigned_abs(), file.cleaned_sha256, content)
            }
        };
        Ok(Image { name: file.neutral_name(), media_type: file.media_type, size, sha256, content })
    }
}
