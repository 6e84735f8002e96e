//! The bytes of images.

use crate::ApiClient;
use crate::eventually;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::photos;
use crate::stack::StackOptions;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Uploads that break off, a full disk, bytes that were damaged, and bytes that nobody names.
pub(crate) async fn uploads_and_files() -> RowReport {
    let broken = interrupted_uploads().await.merge(full_disk().await).merge(corrupted_file().await);
    broken.merge(orphaned_file().await).merge(partially_written_file().await)
}

/// Half of a body with a photo in it, in both forms, and then nobody: nothing of it is stored.
async fn interrupted_uploads() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let address = testbed.stack.setting("LISTEN_ADDRESS");
    let mut answers = Vec::new();
    for (content_type, body) in [json_body(), multipart_body()] {
        for waits in [false, true] {
            let mut connection = TcpStream::connect(&address).await.expect("connects");
            let head = format!(
                "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(head.as_bytes()).await.expect("writes");
            connection.write_all(&body[..body.len() / 2]).await.expect("writes");
            if waits {
                // The other half is missing, but somebody waits for the answer.
                connection.shutdown().await.expect("closes its half");
                let mut answer = String::new();
                let _ = connection.read_to_string(&mut answer).await;
                answers.push(answer);
            }
        }
    }
    assert!(!answers.iter().any(|answer| answer.contains(" 202 ")), "{answers:?}");
    // It ends when it has done with all that it was sent.
    testbed.stack.api.take().expect("runs").stop().await;
    assert_eq!(testbed.stack.database.count_rows("submissions").await, 0);
    assert_eq!(stored(&testbed), Vec::<PathBuf>::new());
    testbed.stack.start_api().await;
    testbed.report().await
}

fn json_body() -> (&'static str, Vec<u8>) {
    let body = ApiClient::submission_body("ana@example.org", "", &[photos::cat()]);
    ("application/json", body.to_string().into_bytes())
}

fn multipart_body() -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in [("email", "ana@example.org"), ("comments", ""), ("consent", "true")] {
        let part =
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    body.extend(
        b"--x\r\nContent-Disposition: form-data; name=\"images\"; filename=\"cat.png\"\r\n\
          Content-Type: image/png\r\n\r\n",
    );
    body.extend(photos::cat().bytes);
    body.extend(b"\r\n--x--\r\n");
    ("multipart/form-data; boundary=x", body)
}

/// The file system of the storage has no room left: the patient is asked to come again, nothing half-made
/// remains, and the same process takes it once there is room.
async fn full_disk() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    let disk = testbed.stack.start_api_on_a_small_disk().await;
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 960 * 1024]).expect("fits, and leaves less than a photo");
    let email = testbed.new_patient();
    let refused = testbed.send(&email, None).await.expect("ran").expect("an answer");
    let (status, has_retry_after) =
        (refused.status(), refused.headers().contains_key("retry-after"));
    let text = refused.text().await.expect("a body");
    assert_eq!((status.as_u16(), has_retry_after), (503, true), "{text}");
    for table in ["submissions", "files", "runs", "events"] {
        assert_eq!(testbed.stack.database.count_rows(table).await, 0, "{table}");
    }
    assert_eq!(files_below(&disk), std::slice::from_ref(&ballast));

    std::fs::remove_file(&ballast).expect("removed");
    let answer = testbed.send(&email, None).await.expect("ran").expect("an answer");
    testbed.record_sent(answer, &email).await;
    // Nobody else sees that disk: what was taken goes to where the others look.
    for file in files_below(&disk) {
        let visible = testbed.stack.files().join(file.strip_prefix(&disk).expect("below it"));
        std::fs::create_dir_all(visible.parent().expect("a folder")).expect("made");
        std::fs::copy(&file, visible).expect("copied");
    }
    testbed.stack.api.take().expect("runs").stop().await;
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    testbed.report().await
}

/// What is read back is not what was stored: it never reaches LoopAI, and goes on once the bytes are restored.
async fn corrupted_file() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    testbed.stack.start_api().await;
    testbed.submit().await;
    let [path] = &stored(&testbed)[..] else { panic!("one photo was stored") };
    let whole = std::fs::read(path).expect("the photo");
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    std::fs::write(path, &damaged).expect("written");
    testbed.stack.start_worker().await;
    eventually("the damage to be noticed", || async {
        let log = testbed.stack.worker.as_ref().expect("runs").log();
        log.contains("have another checksum").then_some(())
    })
    .await;
    assert!(testbed.stack.loopai.executions().is_empty(), "damaged bytes are not sent");
    std::fs::write(path, &whole).expect("written");
    testbed.report().await
}

/// Bytes that were stored for a submission that was never committed are swept; those that are named stay.
async fn orphaned_file() -> RowReport {
    let options = StackOptions::default()
        .with("ORPHANED_FILE_SECONDS", "3")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    let stays = testbed.submit().await;
    let before = stored(&testbed);
    let orphan = photos::cat_webp();
    testbed.stack.failpoints.arm(diagflow_store::Failpoint::BeforeSubmissionCommit);
    let email = testbed.new_patient();
    let sending = testbed.send_photos(&email, None, vec![orphan]);
    testbed.kill_api_at(diagflow_store::Failpoint::BeforeSubmissionCommit).await;
    sending.await.expect("ran").expect_err("its connection broke");
    assert_eq!(stored(&testbed).len(), 2, "the bytes were stored before");
    eventually("the bytes to be swept", || async { (stored(&testbed).len() == 1).then_some(()) })
        .await;
    assert_eq!(stored(&testbed), before, "{} still has its own", stays.submission_id);
    assert_eq!(testbed.stack.database.count_rows("orphaned_files").await, 0);
    testbed.report().await
}

/// The API is killed in the middle of writing an image: what is there of it is swept, and the same image, which is
/// sent again meanwhile, stays.
async fn partially_written_file() -> RowReport {
    let options = StackOptions::default().with("ORPHANED_FILE_SECONDS", "3");
    let mut testbed = Testbed::without_processes(options).await;
    testbed.stack.start_api_with_file_size_limit(100_000).await;
    let email = testbed.new_patient();
    let sent = testbed.send(&email, None).await.expect("ran");
    sent.expect_err("its connection broke");
    let [partial] = &stored(&testbed)[..] else { panic!("a part was stored") };
    assert_eq!(std::fs::metadata(partial).expect("a file").len(), 100_000);
    testbed.stack.api.take().expect("was started").kill();
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    let again = testbed.send(&email, None).await.expect("ran").expect("an answer");
    testbed.record_sent(again, &email).await;
    eventually("the part to be swept", || async { (!partial.exists()).then_some(()) }).await;
    assert_eq!(stored(&testbed).len(), 1, "the whole image is still there");
    testbed.report().await
}

/// The files of the storage.
fn stored(testbed: &Testbed) -> Vec<PathBuf> {
    files_below(&testbed.stack.files())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut all = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            all.extend(files_below(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}
