//! Temporary files that a process leaves in the storage directory when it is killed while it stores bytes.
//!
//! The crate `object_store` first writes a file `<digest>#<number>`, and renames it when it is complete. It neither
//! lists nor deletes such files, so this module works on the directory itself. S3-compatible stores have no such files:
//! an object that was not uploaded completely does not exist.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

const NAMES_PER_SWEEP: usize = 50_000;

#[derive(Debug)]
pub(crate) struct TempFiles {
    directory: PathBuf,
    names_per_sweep: usize,
    /// The last subdirectory of the previous sweep, if that stopped early.
    last_directory: Mutex<Option<PathBuf>>,
}

impl TempFiles {
    pub(crate) fn of(directory: PathBuf) -> TempFiles {
        TempFiles { directory, names_per_sweep: NAMES_PER_SWEEP, last_directory: Mutex::new(None) }
    }

    /// Deletes temporary files that have not been written to for at least `age`, and returns their number. Continues
    /// where the last sweep stopped. The call blocks. If a subdirectory fails, the others are still swept before the
    /// error is returned.
    ///
    /// If an upload is still writing to a deleted file, its rename fails, and so does the upload. A confirmed file is
    /// never deleted.
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
            // A directory that fails must not block the ones after it.
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

/// Returns `false` if the file no longer exists.
fn is_older(path: &Path, age: Duration) -> io::Result<bool> {
    let written = match std::fs::metadata(path).and_then(|found| found.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        written => written?,
    };
    // A time in the future, by the clock of another host, counts as recent.
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
    fn each_sweep_continues_where_the_last_one_stopped_and_then_starts_again() {
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
        assert_eq!(sweep(), 1, "stops after the last");
        assert_eq!(sweep(), 1, "starts again with the first");
    }

    #[test]
    fn a_directory_that_fails_does_not_block_the_others() {
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
    fn only_names_of_temporary_files_match() {
        let digest = "ab".repeat(32);
        assert!(is_temp_file(Path::new(&format!("ab/{digest}#1"))));
        assert!(is_temp_file(Path::new(&format!("ab/{digest}#27"))));
        for other in [digest.clone(), format!("{digest}#"), format!("{digest}#x"), "notes#1".into()]
        {
            assert!(!is_temp_file(Path::new(&format!("ab/{other}"))), "{other}");
        }
    }
}
