//! Starts chromedriver, which starts Chromium.

use crate::eventually::eventually;
use crate::ports::free_port;
use crate::servers;
use std::fs::{File, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A chromedriver process, which is killed on drop together with its browsers.
pub(super) struct Driver {
    child: Child,
    pub(super) url: String,
    /// The browser to start, as an absolute path.
    pub(super) browser: PathBuf,
    folder: TempDir,
}

impl Driver {
    pub(super) async fn start() -> Driver {
        let folder = TempDir::new().expect("a folder");
        let browser = write_launcher(&folder);
        let port = free_port();
        let log = File::create(folder.path().join("chromedriver.log")).expect("a log file");
        let child = Command::new(servers::chromedriver())
            .arg(format!("--port={port}"))
            // Chromium and chromedriver put profiles and sockets into this folder.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("chromedriver starts");
        let driver = Driver { child, url: format!("http://127.0.0.1:{port}"), browser, folder };
        eventually("chromedriver to start", || async {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        driver
    }
}

/// Writes a script that starts a browser which is killed when chromedriver ends.
fn write_launcher(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("chromium");
    let (guard, chromium) = (servers::xtask(), servers::chromium());
    let script = format!(
        "#!/bin/sh\nexec '{}' guard \"$PPID\" -- '{}' \"$@\"\n",
        guard.display(),
        chromium.display()
    );
    std::fs::write(&path, script).expect("a written file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a permission");
    path
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.folder.path().join("chromedriver.log");
            eprintln!(
                "--- log of chromedriver ---\n{}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
        }
    }
}
