//! Storage that hangs like a network file system whose server is down: opening a file blocks in the kernel.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Storage in which all shard folders are links to one mount point. A FUSE file system whose server never responds is
/// mounted there for the API. Once it is unmounted, the mount point is an ordinary folder.
pub struct HungStorage {
    mount_point: PathBuf,
    /// File that the test creates to end the hang.
    resume: PathBuf,
}

impl HungStorage {
    pub(crate) fn create(files: &Path, folder: &Path) -> HungStorage {
        let mount_point = folder.join("hung");
        std::fs::create_dir_all(files).expect("a folder");
        std::fs::create_dir(&mount_point).expect("a folder");
        for shard in 0..=u8::MAX {
            symlink(&mount_point, files.join(format!("{shard:02x}"))).expect("a link");
        }
        HungStorage { mount_point, resume: folder.join("resume") }
    }

    /// Returns the command prefix that mounts the file system and starts the API.
    pub(crate) fn wrapper(&self) -> [String; 6] {
        // The API must not inherit descriptor 3. As long as any process has it open, the file system hangs, even after
        // it has been unmounted.
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

    /// Ends the hang. Blocked calls fail, and later calls succeed.
    pub fn resume(&self) {
        std::fs::write(&self.resume, "").expect("a written file");
    }
}
