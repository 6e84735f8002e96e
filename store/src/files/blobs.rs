//! The bytes of files, outside the database. They are stored under their SHA-256, so storing the same bytes twice
//! changes nothing, and the bytes are verified when they are read.

use crate::db::ids::Sha256;
use crate::files::records::File;
use crate::files::temp_files::TempFiles;
use bytes::Bytes;
use diagflow_photos::{Format, without_metadata};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

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

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobStore {
    storage: Arc<dyn ObjectStore>,
    root: Path,
    temp_files: Option<Arc<TempFiles>>,
}

impl BlobStore {
    /// Opens a directory (`file:///directory`), which is created if it is missing, or an S3-compatible bucket
    /// (`s3://bucket/prefix`), which is configured with the usual `AWS_*` variables.
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
        Ok(BlobStore { storage: storage.into(), root, temp_files: None })
    }

    fn open_directory(address: &Url) -> Result<BlobStore, BlobError> {
        let directory = address
            .to_file_path()
            .map_err(|()| BlobError::Address(format!("{address} is not a directory")))?;
        std::fs::create_dir_all(&directory)
            .map_err(|error| BlobError::Address(format!("{}: {error}", directory.display())))?;
        // Files are synced to disk, because the database will refer to them.
        let storage = LocalFileSystem::new_with_prefix(&directory)?.with_fsync(true);
        let temp_files = Some(Arc::new(TempFiles::of(directory)));
        Ok(BlobStore { storage: Arc::new(storage), root: Path::default(), temp_files })
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

    /// Returns the photo without its metadata.
    pub async fn cleaned(&self, file: &File) -> Result<Bytes, BlobError> {
        let bytes = self.get(file.sha256).await?;
        let cleaned = Format::from_media_type(&file.media_type)
            .and_then(|format| without_metadata(&bytes, format).ok());
        cleaned.map(Bytes::from).ok_or(BlobError::Corrupt(file.sha256))
    }

    pub(crate) async fn remove(&self, digest: Sha256) -> Result<(), BlobError> {
        match self.storage.delete(&self.path(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes temporary files that a killed process left behind, if they have not been written to for at least `age`,
    /// and returns their number. If there are many files, each call covers a part of them, and the next call continues
    /// there.
    pub async fn sweep_temp_files(&self, age: Duration) -> Result<usize, BlobError> {
        let Some(temp_files) = self.temp_files.clone() else { return Ok(0) };
        let swept = tokio::task::spawn_blocking(move || temp_files.sweep(age)).await;
        swept.map_err(std::io::Error::from).flatten().map_err(BlobError::Directory)
    }

    /// The files are spread over 256 directories, so that none becomes too large to list.
    fn path(&self, digest: Sha256) -> Path {
        let name = digest.to_string();
        self.root.clone().join(&name[..2]).join(name)
    }
}
