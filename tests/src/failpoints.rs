//! Pauses a Diagflow process at a failpoint so that a test can kill it at exactly that point.

use crate::eventually::eventually;
use diagflow_store::Failpoint;
use std::fs;
use std::path::{Path, PathBuf};

/// Controls a process's failpoints. The protocol is described in `store/src/db/failpoint.rs`.
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    pub fn new(parent: &Path) -> Failpoints {
        let folder = parent.join("failpoints");
        fs::create_dir(&folder).expect("a folder");
        Failpoints { folder }
    }

    pub fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    /// Makes the next process that reaches the failpoint pause there.
    pub fn arm(&self, failpoint: Failpoint) {
        fs::write(self.folder.join(failpoint.name()), "").expect("a written file");
    }

    pub async fn wait_until_reached(&self, failpoint: Failpoint) {
        eventually(failpoint, || async { self.reached_file(failpoint).exists().then_some(()) })
            .await;
    }

    /// Lets the paused process continue. If it has been killed, only removes its marker file.
    pub fn release(&self, failpoint: Failpoint) {
        fs::remove_file(self.reached_file(failpoint)).expect("a paused process");
    }

    fn reached_file(&self, failpoint: Failpoint) -> PathBuf {
        self.folder.join(failpoint.name()).with_extension("reached")
    }
}
