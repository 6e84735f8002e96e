//! Uploaded files, their bytes in the object store, signed links to them, and the deletion of orphaned files.

pub(crate) mod blobs;
pub(crate) mod links;
pub(crate) mod orphans;
pub(crate) mod records;
pub(crate) mod temp_files;
