//! File contents, which are stored outside the database. Bytes are stored under their SHA-256 digest, so storing them
//! twice changes nothing, and they are verified when read.

use crate::db::ids::Sha256;
use crate::files::records::File;
use crate::files::temp_files::TempFiles;
use bytes::Bytes;
use diagflow_photos::{Format, structural_copy, without_metadata};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;

/// Maximum number of photos whose metadata is removed at the same time. Each photo may need 50 MB of memory and one
/// CPU.
const MAX_CONCURRENT_CLEANINGS: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("file storage: {0}")]
    Storage(#[from] object_store::Error),
    #[error("file storage: {0} does not match its checksum")]
    Corrupt(Sha256),
    #[error("file storage: {0}")]
    Directory(#[source] std::io::Error),
    #[error("file storage: {0}")]
    Address(String),
}

#[derive(Debug, Clone)]
pub struct BlobStore {
    storage: Arc<dyn ObjectStore>,
    root: Path,
    temp_files: Option<Arc<TempFiles>>,
    cleanings: Arc<Semaphore>,
}

impl BlobStore {
    /// Opens a directory (`file:///directory`), which is created if it is missing, or an S3-compatible bucket
    /// (`s3://bucket/prefix`), which is configured with `AWS_*` environment variables.
    pub fn open(address: &Url) -> Result<BlobStore, BlobError> {
        let (scheme, root) =
            ObjectStoreScheme::parse(address).map_err(object_store::Error::from)?;
        if matches!(scheme, ObjectStoreScheme::Local) {
            return Self::open_directory(address);
        }
        let variables = std::env::vars()
            .filter(|(name, _)| name.starts_with("AWS_"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (storage, _) = object_store::parse_url_opts(address, variables)?;
        Ok(Self::new(storage.into(), root, None))
    }

    fn open_directory(address: &Url) -> Result<BlobStore, BlobError> {
        let directory = address
            .to_file_path()
            .map_err(|()| BlobError::Address(format!("{address} is not a directory")))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| BlobError::Address(format!("{}: {error}", directory.display())))?;
        // Files are synced to disk because the database will refer to them.
        let storage = LocalFileSystem::new_with_prefix(&directory)?.with_fsync(true);
        let temp_files = Some(Arc::new(TempFiles::of(directory)));
        Ok(Self::new(Arc::new(storage), Path::default(), temp_files))
    }

    fn new(
        storage: Arc<dyn ObjectStore>,
        root: Path,
        temp_files: Option<Arc<TempFiles>>,
    ) -> BlobStore {
        let cleanings = Arc::new(Semaphore::new(MAX_CONCURRENT_CLEANINGS));
        BlobStore { storage, root, temp_files, cleanings }
    }

    pub async fn put(&self, bytes: Bytes) -> Result<Sha256, BlobError> {
        let digest = Sha256::of(&bytes);
        self.storage.put(&self.path(digest), bytes.into()).await?;
        Ok(digest)
    }

    pub async fn get(&self, digest: Sha256) -> Result<Bytes, BlobError> {
        let bytes = self.storage.get(&self.path(digest)).await?.bytes().await?;
        if Sha256::of(&bytes) != digest {
            return Err(BlobError::Corrupt(digest));
        }
        Ok(bytes)
    }

    /// Checks whether the storage can be reached, without reading a file.
    pub async fn check(&self) -> Result<(), BlobError> {
        if let Some(temp_files) = &self.temp_files {
            let found = tokio::fs::metadata(temp_files.directory()).await;
            return found.map(drop).map_err(BlobError::Directory);
        }
        match self.storage.head(&self.path(Sha256::of(b""))).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the photo without its metadata. Even a photo that this version would refuse is returned because an
    /// earlier version accepted it.
    pub async fn cleaned(&self, file: &File) -> Result<Bytes, BlobError> {
        let bytes = self.get(file.sha256).await?;
        let permit = self.cleanings.clone().acquire_owned().await;
        let format = Format::from_media_type(&file.media_type);
        // Removing metadata decodes the whole JPEG, which would block the async runtime.
        let cleaning = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let format = format?;
            let cleaned = without_metadata(&bytes, format);
            cleaned.or_else(|_| structural_copy(&bytes, format)).ok()
        });
        cleaning.await.ok().flatten().map(Bytes::from).ok_or(BlobError::Corrupt(file.sha256))
    }

    pub(crate) async fn remove(&self, digest: Sha256) -> Result<(), BlobError> {
        match self.storage.delete(&self.path(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes temporary files that were left behind by killed processes and last written at least `age` ago. Returns
    /// the number of deleted files. If there are many files, each call covers only some of them and continues where the
    /// previous call stopped.
    pub async fn sweep_temp_files(&self, age: Duration) -> Result<usize, BlobError> {
        let Some(temp_files) = self.temp_files.clone() else { return Ok(0) };
        let swept = tokio::task::spawn_blocking(move || temp_files.sweep(age)).await;
        swept.map_err(std::io::Error::from).flatten().map_err(BlobError::Directory)
    }

    /// Files are spread over 256 directories so that no directory becomes too large to list.
    fn path(&self, digest: Sha256) -> Path {
        let name = digest.to_string();
        self.root.clone().join(&name[..2]).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ids::{FileId, SubmissionId};

    #[tokio::test]
    async fn a_stored_photo_that_this_version_would_refuse_is_still_sent_without_metadata() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let address = Url::from_directory_path(folder.path()).expect("an address");
        let store = BlobStore::open(&address).expect("a store");
        let mut photo = include_bytes!("../../../photos/tests/found/cut_half.jpg").to_vec();
        photo.splice(2..2, *b"\xFF\xFE\0\x0DAna Example");
        assert!(without_metadata(&photo, Format::Jpeg).is_err());
        let size = photo.len();
        let digest = store.put(photo.into()).await.expect("stored");
        let mut file = File {
            id: FileId::new(),
            submission_id: SubmissionId::new(),
            position: 1,
            name: "arm.jpg".to_owned(),
            media_type: "image/jpeg".to_owned(),
            size: size as i64,
            sha256: digest,
            cleaned_size: size as i64,
            cleaned_sha256: digest,
        };

        let cleaned = store.cleaned(&file).await.expect("a photo");

        assert!(cleaned.len() > size / 2, "{} of {size} bytes", cleaned.len());
        assert!(!cleaned.windows(3).any(|text| text == b"Ana"));
        file.media_type = "image/png".to_owned();
        assert!(matches!(store.cleaned(&file).await, Err(BlobError::Corrupt(_))), "not a PNG");
    }
}
