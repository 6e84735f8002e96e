//! A storage that hangs, as a network's does whose server is away: who opens a file there waits, in the system.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Each of the storage's folders is a link to one place, at which a file system is mounted whose own program never
/// answers (FUSE), where only the API sees it. Once that is taken away, the place is an ordinary folder.
pub struct HungStorage {
    place: PathBuf,
    /// Made when it shall go on.
    goes_on: PathBuf,
}

impl HungStorage {
    /// The storage in `files`, with what else it takes in `folder`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub(crate) fn of(files: &Path, folder: &Path) -> HungStorage {
        let place = folder.join("hung");
        std::fs::create_dir_all(files).expect("a folder");
        std::fs::create_dir(&place).expect("a folder");
        for shard in 0..=u8::MAX {
            symlink(&place, files.join(format!("{shard:02x}"))).expect("a link");
        }
        HungStorage { place, goes_on: folder.join("goes-on") }
    }

    /// The command within which the API sees it.
    pub(crate) fn wrapper(&self) -> [String; 6] {
        // Whoever has descriptor 3 is the file system's program: not the API, or nothing would ever end it.
        let script = format!(
            "exec 3<>/dev/fuse && \
             mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none '{place}' || exit 1; \
             (while kill -0 $$ && [ ! -e '{goes_on}' ]; do sleep 0.05; done; umount -l '{place}') & \
             exec 3>&- && exec \"$0\" \"$@\"",
            place = self.place.display(),
            goes_on = self.goes_on.display(),
        );
        ["unshare", "--mount", "--map-root-user", "sh", "-c", &script].map(str::to_owned)
    }

    /// It answers again: what waited there fails, and what comes is stored.
    ///
    /// # Panics
    /// When it cannot be told so.
    pub fn goes_on(&self) {
        std::fs::write(&self.goes_on, "").expect("written");
    }
}
