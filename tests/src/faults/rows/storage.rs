//! The row for faults that affect uploads and file storage.

use crate::ApiClient;
use crate::eventually;
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::photos;
use crate::stack::StackOptions;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn uploads_and_files() -> RowReport {
    let broken = interrupted_uploads().await.merge(full_disk().await).merge(corrupted_file().await);
    broken.merge(orphaned_file().await).merge(partially_written_file().await)
}

/// The client closes the connection halfway through a JSON or multipart body. No submission or file is stored.
async fn interrupted_uploads() -> RowReport {
    let mut testbed = Testbed::start(StackOptions::default()).await;
    let address = testbed.stack.setting("LISTEN_ADDRESS");
    let mut responses = Vec::new();
    for (content_type, body) in [json_body(), multipart_body()] {
        for waits in [false, true] {
            let mut connection = TcpStream::connect(&address).await.expect("a connection");
            let head = format!(
                "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(head.as_bytes()).await.expect("a sent request");
            connection.write_all(&body[..body.len() / 2]).await.expect("a sent request");
            if waits {
                // The client closes only its sending side because it is still waiting for the response.
                connection.shutdown().await.expect("a half-closed connection");
                let mut response = String::new();
                let _ = connection.read_to_string(&mut response).await;
                responses.push(response);
            }
        }
    }
    assert!(!responses.iter().any(|response| response.contains(" 202 ")), "{responses:?}");
    // A graceful shutdown first finishes all received requests.
    testbed.stack.api.take().expect("a running process").stop().await;
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

/// The file system is full. The client gets a 503 with `Retry-After`, and no file is left behind. Once there is enough
/// space, the same process accepts the submission.
async fn full_disk() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    let disk = testbed.stack.start_api_on_a_small_disk().await;
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 960 * 1024]).expect("enough space for the ballast");
    let email = testbed.new_patient();
    let refused = testbed.send(&email, None).await.expect("a finished task").expect("a response");
    let (status, has_retry_after) =
        (refused.status(), refused.headers().contains_key("retry-after"));
    let text = refused.text().await.expect("a response body");
    assert_eq!((status.as_u16(), has_retry_after), (503, true), "{text}");
    for table in ["submissions", "files", "runs", "events"] {
        assert_eq!(testbed.stack.database.count_rows(table).await, 0, "{table}");
    }
    assert_eq!(files_below(&disk), std::slice::from_ref(&ballast));

    std::fs::remove_file(&ballast).expect("a removed file");
    let response = testbed.send(&email, None).await.expect("a finished task").expect("a response");
    testbed.record_sent(response, &email).await;
    // Only the first API process can access the small disk, so its files are copied for the others.
    for file in files_below(&disk) {
        let visible =
            testbed.stack.files().join(file.strip_prefix(&disk).expect("a path below the disk"));
        std::fs::create_dir_all(visible.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, visible).expect("a copied file");
    }
    testbed.stack.api.take().expect("a running process").stop().await;
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    testbed.report().await
}

/// A stored file is corrupted. It is not sent to LoopAI, and the run continues once the file has been restored.
async fn corrupted_file() -> RowReport {
    let mut testbed = Testbed::without_processes(StackOptions::default()).await;
    testbed.stack.start_api().await;
    testbed.submit().await;
    let [path] = &stored(&testbed)[..] else { panic!("expected one stored file") };
    let whole = std::fs::read(path).expect("the photo");
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    std::fs::write(path, &damaged).expect("a written file");
    testbed.stack.start_worker().await;
    eventually("the corruption to be detected", || async {
        let log = testbed.stack.worker.as_ref().expect("a running process").log();
        log.contains("does not match its checksum").then_some(())
    })
    .await;
    assert!(testbed.stack.loopai.executions().is_empty(), "corrupted files are not sent");
    std::fs::write(path, &whole).expect("a written file");
    testbed.report().await
}

/// The file of a submission that was never committed is removed. Files in use are not.
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
    sending.await.expect("a finished task").expect_err("a broken connection");
    assert_eq!(stored(&testbed).len(), 2, "the file was stored");
    eventually("the orphaned file to be removed", || async {
        (stored(&testbed).len() == 1).then_some(())
    })
    .await;
    assert_eq!(stored(&testbed), before, "the file of {} remains", stays.submission_id);
    assert_eq!(testbed.stack.database.count_rows("blob_reservations").await, 0);
    testbed.report().await
}

/// The API is killed while writing a file. The partial file is removed. If the same photo is submitted again, the
/// complete file is retained.
async fn partially_written_file() -> RowReport {
    let options = StackOptions::default().with("ORPHANED_FILE_SECONDS", "3");
    let mut testbed = Testbed::without_processes(options).await;
    testbed.stack.start_api_with_file_size_limit(100_000).await;
    let email = testbed.new_patient();
    let sent = testbed.send(&email, None).await.expect("a finished task");
    sent.expect_err("a broken connection");
    let [partial] = &stored(&testbed)[..] else { panic!("expected one partial file") };
    assert_eq!(std::fs::metadata(partial).expect("a file").len(), 100_000);
    testbed.stack.api.take().expect("a running process").kill();
    testbed.stack.start_api().await;
    testbed.stack.start_worker().await;
    let again = testbed.send(&email, None).await.expect("a finished task").expect("a response");
    testbed.record_sent(again, &email).await;
    eventually("the partial file to be removed", || async { (!partial.exists()).then_some(()) })
        .await;
    assert_eq!(stored(&testbed).len(), 1, "the complete file remains");
    testbed.report().await
}

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
