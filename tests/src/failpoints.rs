//! Holds processes at the boundaries that the product names, to kill them just there.

use crate::eventually::eventually;
use diagflow_store::Failpoint;
use std::fs;
use std::path::{Path, PathBuf};

/// The boundaries of one stack's processes. See `store/src/db/failpoint.rs` for how they are told.
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    /// With its files in a folder below `folder`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(parent: &Path) -> Failpoints {
        let folder = parent.join("failpoints");
        fs::create_dir(&folder).expect("a folder");
        Failpoints { folder }
    }

    /// Where the processes look.
    pub fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    /// Holds whoever comes to this boundary next.
    pub fn arm(&self, boundary: Failpoint) {
        fs::write(self.folder.join(boundary.name()), "").expect("written");
    }

    /// Waits until somebody is held there.
    pub async fn wait_until_reached(&self, boundary: Failpoint) {
        eventually(boundary, || async { self.reached_file(boundary).exists().then_some(()) }).await;
    }

    /// Lets whoever is held there go on; also clears away what one left that was killed.
    pub fn release(&self, boundary: Failpoint) {
        fs::remove_file(self.reached_file(boundary)).expect("somebody is held there");
    }

    fn reached_file(&self, boundary: Failpoint) -> PathBuf {
        self.folder.join(boundary.name()).with_extension("reached")
    }
}
