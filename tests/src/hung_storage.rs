//! A storage that hangs, as a network's does whose server is away: who opens a file there waits, in the system.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Each of the storage's folders is a link to one place, at which a file system is mounted whose own program never
/// answers (FUSE), where only the API sees it. Once that is taken away, the place is an ordinary folder.
pub struct HungStorage {
    mount_point: PathBuf,
    /// Made when it shall go on.
    resume: PathBuf,
}

impl HungStorage {
    /// The storage in `files`, with what else it takes in `folder`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub(crate) fn create(files: &Path, folder: &Path) -> HungStorage {
        let mount_point = folder.join("hung");
        std::fs::create_dir_all(files).expect("a folder");
        std::fs::create_dir(&mount_point).expect("a folder");
        for shard in 0..=u8::MAX {
            symlink(&mount_point, files.join(format!("{shard:02x}"))).expect("a link");
        }
        HungStorage { mount_point, resume: folder.join("resume") }
    }

    /// The command within which the API sees it.
    pub(crate) fn wrapper(&self) -> [String; 6] {
        // Whoever has descriptor 3 is the file system's program: not the API, or nothing would ever end it.
        let script = format!(
            "exec 3<>/dev/fuse && \
             mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none '{mount_point}' || exit 1; \
             (while kill -0 $$ && [ ! -e '{resume}' ]; do sleep 0.05; done; umount -l '{mount_point}') & \
             exec 3>&- && exec \"$0\" \"$@\"",
            mount_point = self.mount_point.display(),
            resume = self.resume.display(),
        );
        ["unshare", "--mount", "--map-root-user", "sh", "-c", &script].map(str::to_owned)
    }

    /// It answers again: what waited there fails, and what comes is stored.
    ///
    /// # Panics
    /// When it cannot be told so.
    pub fn resume(&self) {
        std::fs::write(&self.resume, "").expect("written");
    }
}
