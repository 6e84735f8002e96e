//! Temporary files left in the storage directory by processes that were killed while storing bytes.
//!
//! The `object_store` crate first writes to a file named `<digest>#<number>` and renames it once it is complete. The
//! crate neither lists nor deletes temporary files, so this module accesses the directory directly. S3-compatible
//! stores have no temporary files because an object does not exist until its upload is complete.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

const NAMES_PER_SWEEP: usize = 50_000;

#[derive(Debug)]
pub(crate) struct TempFiles {
    directory: PathBuf,
    names_per_sweep: usize,
    /// The last subdirectory that the previous sweep covered, if that sweep stopped early.
    last_directory: Mutex<Option<PathBuf>>,
}

impl TempFiles {
    pub(crate) fn of(directory: PathBuf) -> TempFiles {
        TempFiles { directory, names_per_sweep: NAMES_PER_SWEEP, last_directory: Mutex::new(None) }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Deletes temporary files last written at least `age` ago, and returns the number deleted. Continues where the
    /// previous sweep stopped. Blocks the current thread. If a subdirectory cannot be swept, the remaining
    /// subdirectories are swept before the error is returned.
    ///
    /// If a deleted file is still being written by an upload, the upload fails when it tries to rename the file. Files
    /// of completed uploads are never deleted.
    pub(crate) fn sweep(&self, age: Duration) -> io::Result<usize> {
        let mut last_directory =
            self.last_directory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut directories = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
        directories.sort_unstable();
        let mut sweep = Sweep::default();
        let (mut failure, mut last) = (None, None);
        let done = last_directory.take();
        for directory in directories.into_iter().filter(|directory| Some(directory) > done.as_ref())
        {
            if sweep.read >= self.names_per_sweep {
                *last_directory = last;
                break;
            }
            // A directory that cannot be swept must not prevent later directories from being swept.
            failure = sweep.sweep_directory(&directory, age).err().or(failure);
            last = Some(directory);
        }
        failure.map_or(Ok(sweep.removed), Err)
    }
}

#[derive(Default)]
struct Sweep {
    read: usize,
    removed: usize,
}

impl Sweep {
    fn sweep_directory(&mut self, directory: &Path, age: Duration) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            self.read += 1;
            if is_temp_file(&path) && is_older(&path, age)? {
                remove(&path)?;
                self.removed += 1;
            }
        }
        Ok(())
    }
}

fn is_temp_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('#').is_some_and(|(digest, number)| {
        digest.len() == 64 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether a file was last written at least `age` ago. Returns `false` if the file no longer exists.
fn is_older(path: &Path, age: Duration) -> io::Result<bool> {
    let written = match std::fs::metadata(path).and_then(|found| found.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        written => written?,
    };
    // A time in the future, which another host's clock may have produced, counts as recent.
    Ok(SystemTime::now().duration_since(written).is_ok_and(|passed| passed >= age))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_continues_where_the_previous_one_stopped_and_then_starts_over() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let temp_file = |n: u8| {
            let inside = directory.path().join(format!("{n:02x}"));
            std::fs::create_dir_all(&inside).expect("a directory");
            std::fs::write(inside.join(format!("{n:064x}#1")), "incomplete").expect("written");
        };
        let files = TempFiles { names_per_sweep: 2, ..TempFiles::of(directory.path().to_owned()) };
        let sweep = || files.sweep(Duration::ZERO).expect("swept");
        (1..=5).for_each(temp_file);

        assert_eq!(sweep(), 2);
        temp_file(1);
        assert_eq!(sweep(), 2);
        assert_eq!(sweep(), 1, "the sweep stops after the last directory");
        assert_eq!(sweep(), 1, "the sweep starts again with the first directory");
    }

    #[test]
    fn a_directory_that_cannot_be_swept_does_not_block_other_directories() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let temp_file =
            |n: u8| directory.path().join(format!("{n:02x}")).join(format!("{n:064x}#1"));
        std::fs::create_dir_all(temp_file(1)).expect("a directory in place of a file");
        std::fs::create_dir_all(temp_file(2).parent().expect("a directory")).expect("a directory");
        std::fs::write(temp_file(2), "incomplete").expect("written");

        TempFiles::of(directory.path().to_owned())
            .sweep(Duration::ZERO)
            .expect_err("the failure is reported");

        assert!(!temp_file(2).exists());
    }

    #[test]
    fn only_temporary_files_are_recognized_by_their_names() {
        let digest = "ab".repeat(32);
        assert!(is_temp_file(Path::new(&format!("ab/{digest}#1"))));
        assert!(is_temp_file(Path::new(&format!("ab/{digest}#27"))));
        for other in [digest.clone(), format!("{digest}#"), format!("{digest}#x"), "notes#1".into()]
        {
            assert!(!is_temp_file(Path::new(&format!("ab/{other}"))), "{other}");
        }
    }
}
