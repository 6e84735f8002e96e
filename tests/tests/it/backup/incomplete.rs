//! Tests of backups that fail in part.

use super::{run, script};
use diagflow_store::Sha256;
use diagflow_tests::dedicated_servers::DedicatedMariaDb;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// Runs a script, asserts that it fails and does not report success, and returns its output.
async fn run_failing(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (succeeded, output) = script(name, arguments, variables).await;
    assert!(!succeeded && !output.contains("is complete"), "{name}: {output}");
    output
}

/// Stores `bytes` in a file named after the digest of `named_after`. Returns the file's relative path.
fn stored(storage: &Path, bytes: &[u8], named_after: &[u8]) -> String {
    let digest = Sha256::of(named_after).to_string();
    let path = format!("{}/{digest}", &digest[..2]);
    std::fs::create_dir_all(storage.join(&digest[..2])).expect("a folder");
    std::fs::write(storage.join(&path), bytes).expect("written");
    path
}

#[tokio::test]
async fn an_incomplete_backup_is_reported_as_failed() {
    let server = DedicatedMariaDb::with_binary_log().await;
    let folder = TempDir::new().expect("a folder");
    let path_of = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (storage, copy) = (path_of("storage"), path_of("copy"));
    let [host, port, user] = server.client_options();
    let backup_of = async |name: &str, files: &str| {
        let variables = [("DATABASES", "mysql"), ("FILES", files), ("FILES_COPY", &*copy)];
        let output =
            run_failing("backup.sh", &[&path_of(name), &host, &port, &user], &variables).await;
        let databases = folder.path().join(name).join("dump.sql.gz");
        assert!(databases.exists(), "the databases were not backed up: {output}");
        output
    };

    // A missing folder usually means that its disk is not mounted or that its name is wrong.
    let output = backup_of("of-no-folder", &storage).await;
    assert!(output.contains("no such folder"), "{output}");
    run_failing("files.sh", &[&storage, &copy], &[]).await;

    // A damaged file does not prevent the other files from being copied.
    let whole = stored(Path::new(&storage), b"whole", b"whole");
    let damaged = stored(Path::new(&storage), b"damagef", b"damaged");
    let output = backup_of("with-damage", &storage).await;
    assert!(output.contains(&damaged) && output.contains("does not match its name"), "{output}");
    assert_eq!(std::fs::read(Path::new(&copy).join(&whole)).expect("copied"), b"whole");
    assert!(!Path::new(&copy).join(&damaged).exists(), "a damaged file was copied");
    std::fs::remove_file(Path::new(&storage).join(&damaged)).expect("removed");

    // If the large file does not fit on the target disk, the other files are still copied.
    let large = stored(Path::new(&storage), &[7; 256 * 1024], &[7; 256 * 1024]);
    let full = path_of("full");
    std::fs::create_dir(&full).expect("a folder");
    let (succeeded, output) = copy_to_small_disk(&storage, &full).await;
    assert!(!succeeded && output.contains(&large) && output.contains("No space left"), "{output}");
    assert!(output.contains("1 new files"), "the other files were not copied: {output}");

    // Once all problems have been fixed, the backup succeeds.
    let variables = [("DATABASES", "mysql"), ("FILES", &*storage), ("FILES_COPY", &*copy)];
    run("backup.sh", &[&path_of("whole"), &host, &port, &user], &variables).await;
    assert!(Path::new(&copy).join(&large).exists());
}

/// Runs `files.sh` with a 64 KiB disk as the target. Returns whether the script succeeded, and its output.
async fn copy_to_small_disk(from: &str, to: &str) -> (bool, String) {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backup/files.sh");
    let mount = "mount -t tmpfs -o size=64k none \"$2\" && exec sh \"$0\" \"$1\" \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount, files, from, to])
        .output()
        .await
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
