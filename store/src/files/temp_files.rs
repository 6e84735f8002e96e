//! What a process leaves in the storage's folder when it is killed while it stores bytes there.
//!
//! The object store writes a file beside its place first, `<digest>#<number>`, and renames it once it is whole. It
//! neither lists nor removes what is left of one that was broken off, so it is done here, on the folder itself.
//! S3 and its like have no such files: there an object that was not sent to its end does not exist.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// Names that one look reads, or a little more: it ends with a whole folder.
const NAMES_PER_SWEEP: usize = 50_000;

/// The folder, and how far it was looked through.
#[derive(Debug)]
pub(crate) struct TempFiles {
    folder: PathBuf,
    names_per_sweep: usize,
    /// The last of its folders that was looked through, unless the next look begins anew.
    last_folder: Mutex<Option<PathBuf>>,
}

impl TempFiles {
    /// Of the storage in `folder`.
    pub(crate) fn of(folder: PathBuf) -> TempFiles {
        TempFiles { folder, names_per_sweep: NAMES_PER_SWEEP, last_folder: Mutex::new(None) }
    }

    /// Removes staged files to which nothing was written for the time `age`, in as many folders as one look reads,
    /// going on where the last one ended; returns how many it removed. Blocks.
    ///
    /// Where one is still being written after so long, its rename fails, and with it the upload: nothing that
    /// was confirmed is ever removed.
    pub(crate) fn sweep(&self, age: Duration) -> io::Result<usize> {
        let mut last_folder =
            self.last_folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort_unstable();
        let mut sweep = Sweep::default();
        let (mut failure, mut last) = (None, None);
        let done = last_folder.take();
        for folder in folders.into_iter().filter(|folder| Some(folder) > done.as_ref()) {
            if sweep.read >= self.names_per_sweep {
                *last_folder = last;
                break;
            }
            // One that cannot be swept must not keep those behind it from being so.
            failure = sweep.folder(&folder, age).err().or(failure);
            last = Some(folder);
        }
        failure.map_or(Ok(sweep.removed), Err)
    }
}

/// What one look has read and removed so far.
#[derive(Default)]
struct Sweep {
    read: usize,
    removed: usize,
}

impl Sweep {
    fn folder(&mut self, folder: &Path, age: Duration) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
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

/// Whether a file has the name of one that is being written.
fn is_temp_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('#').is_some_and(|(digest, number)| {
        digest.len() == 64 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// One that is gone meanwhile is not.
fn is_older(path: &Path, age: Duration) -> io::Result<bool> {
    let written = match std::fs::metadata(path).and_then(|found| found.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        written => written?,
    };
    // One of the future, by the clock of whoever wrote it, is young.
    Ok(SystemTime::now().duration_since(written).is_ok_and(|passed| passed >= age))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        // By the sweep of another process.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sweep_continues_where_the_last_one_stopped_and_then_starts_again() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let temp_file = |n: u8| {
            let inside = folder.path().join(format!("{n:02x}"));
            std::fs::create_dir_all(&inside).expect("a folder");
            std::fs::write(inside.join(format!("{n:064x}#1")), "half").expect("written");
        };
        let files = TempFiles { names_per_sweep: 2, ..TempFiles::of(folder.path().to_owned()) };
        let sweep = || files.sweep(Duration::ZERO).expect("swept");
        (1..=5).for_each(temp_file);

        assert_eq!(sweep(), 2);
        temp_file(1);
        assert_eq!(sweep(), 2);
        assert_eq!(sweep(), 1, "it ends with the last");
        assert_eq!(sweep(), 1, "and begins with the first");
    }

    #[test]
    fn a_folder_that_fails_does_not_block_the_others() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let temp_file = |n: u8| folder.path().join(format!("{n:02x}")).join(format!("{n:064x}#1"));
        std::fs::create_dir_all(temp_file(1)).expect("a folder where a file should be");
        std::fs::create_dir_all(temp_file(2).parent().expect("a folder")).expect("a folder");
        std::fs::write(temp_file(2), "half").expect("written");

        TempFiles::of(folder.path().to_owned()).sweep(Duration::ZERO).expect_err("it is reported");

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
