//! Uploaded files: their records, their bytes in the object store, signed links to them, and the clean-up of what
//! no submission refers to.

pub(crate) mod blobs;
pub(crate) mod links;
pub(crate) mod orphans;
pub(crate) mod records;
pub(crate) mod temp_files;
