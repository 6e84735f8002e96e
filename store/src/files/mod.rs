//! Uploaded files: their records, their bytes in the object store, signed links to them, and the deletion of files that
//! no submission refers to.

pub(crate) mod blobs;
pub(crate) mod links;
pub(crate) mod orphans;
pub(crate) mod records;
pub(crate) mod temp_files;
