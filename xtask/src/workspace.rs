//! Workspace folders. `.diagflow/` contains everything that runs leave behind.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Opens the workspace in which `cargo xtask` was run. Creates `.diagflow/`, which only this user can access.
    pub(crate) fn open() -> Result<Self> {
        let crate_folder =
            std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root =
            Path::new(&crate_folder).parent().context("the crate has no workspace")?.to_owned();
        let workspace = Self { root };
        create_private_dir(&workspace.state())?;
        Ok(workspace)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The `.diagflow/` folder, which contains data, logs and downloaded tools.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join(".diagflow")
    }

    pub(crate) fn tools(&self) -> PathBuf {
        self.state().join("tools")
    }

    /// Formats a path relative to the workspace, for messages.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// Creates a folder and its parents, accessible only to this user.
pub(crate) fn create_private_dir(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))
}

/// Writes a file that only this user can read, replacing any existing file.
pub(crate) fn write_private_file(path: &Path, text: &str) -> Result<()> {
    // An existing file is removed first because overwriting it would keep its permissions.
    if path.exists() {
        fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a secret from the file at `path`. If the file does not exist, creates it with a random secret.
pub(crate) fn read_or_create_secret(path: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read random bytes")?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private_file(path, &format!("{text}\n"))?;
    Ok(text)
}

/// A file lock, held until this value is dropped or the process ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Acquires the lock at `path`. Returns `None` if another process holds it.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(Some(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    pub(crate) fn holder(path: &Path) -> Option<u32> {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// Returns the `file:` URL of a folder.
pub(crate) fn file_url(path: &Path) -> Result<String> {
    let Some(text) = path.to_str().filter(|_| path.is_absolute()) else {
        bail!("{} is not an absolute UTF-8 path, so it has no file: URL", path.display());
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let escaped = text.bytes().map(|byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    Ok(format!("file://{}", escaped.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::eventually::eventually;

    #[test]
    fn a_secret_is_created_once_and_readable_only_by_its_owner() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("secret");

        let first = read_or_create_secret(&path)?;

        assert_eq!(first.len(), 32);
        assert_eq!(read_or_create_secret(&path)?, first);
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }

    #[test]
    fn a_lock_has_one_holder_and_contains_its_process_id() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lock");

        let first = Lock::try_acquire(&path)?;
        assert!(first.is_some());
        assert!(Lock::try_acquire(&path)?.is_none());
        assert_eq!(Lock::holder(&path), Some(std::process::id()));

        drop(first);
        assert!(eventually(|| Lock::try_acquire(&path).ok().flatten()).is_some());
        Ok(())
    }

    #[test]
    fn a_folder_with_spaces_becomes_a_valid_url() -> Result<()> {
        assert_eq!(file_url(Path::new("/home/a b/ä"))?, "file:///home/a%20b/%C3%A4");
        assert!(file_url(Path::new("relative")).is_err());
        Ok(())
    }
}
