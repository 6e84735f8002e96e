//! The bytes of images.

use crate::ApiClient;
use crate::eventually;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::photos;
use crate::stack::StackOptions;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Uploads that break off, a full disk, bytes that were damaged, and bytes that nobody names.
pub(crate) async fn bytes() -> Report {
    let broken = broken_off().await.and(full_disk().await).and(damaged().await);
    broken.and(unnamed().await).and(half_stored().await)
}

/// Half of a body with a photo in it, in both forms, and then nobody: nothing of it is stored.
async fn broken_off() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let address = world.stack.variable("LISTEN_ADDRESS");
    let mut answers = Vec::new();
    for (content_type, body) in [json_body(), multipart_body()] {
        for goes_on in [false, true] {
            let mut line = TcpStream::connect(&address).await.expect("connects");
            let head = format!(
                "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            line.write_all(head.as_bytes()).await.expect("writes");
            line.write_all(&body[..body.len() / 2]).await.expect("writes");
            if goes_on {
                // The other half is missing, but somebody waits for the answer.
                line.shutdown().await.expect("closes its half");
                let mut answer = String::new();
                let _ = line.read_to_string(&mut answer).await;
                answers.push(answer);
            }
        }
    }
    assert!(!answers.iter().any(|answer| answer.contains(" 202 ")), "{answers:?}");
    // It ends when it has done with all that it was sent.
    world.stack.api.take().expect("runs").stopped().await;
    assert_eq!(world.stack.database.rows("submissions").await, 0);
    assert_eq!(stored(&world), Vec::<PathBuf>::new());
    world.stack.start_api().await;
    world.report().await
}

fn json_body() -> (&'static str, Vec<u8>) {
    let body = ApiClient::body("ana@example.org", "", &[photos::cat()]);
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
async fn full_disk() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    let disk = world.stack.start_api_on_a_small_disk().await;
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 960 * 1024]).expect("fits, and leaves less than a photo");
    let email = world.patient();
    let refused = world.send(&email, None).await.expect("ran").expect("an answer");
    let (status, asks) = (refused.status(), refused.headers().contains_key("retry-after"));
    let text = refused.text().await.expect("a body");
    assert_eq!((status.as_u16(), asks), (503, true), "{text}");
    for table in ["submissions", "files", "runs", "events"] {
        assert_eq!(world.stack.database.rows(table).await, 0, "{table}");
    }
    assert_eq!(files_below(&disk), std::slice::from_ref(&ballast));

    std::fs::remove_file(&ballast).expect("removed");
    let answer = world.send(&email, None).await.expect("ran").expect("an answer");
    world.acknowledge_sent(answer, &email).await;
    // Nobody else sees that disk: what was taken goes to where the others look.
    for file in files_below(&disk) {
        let seen = world.stack.files().join(file.strip_prefix(&disk).expect("below it"));
        std::fs::create_dir_all(seen.parent().expect("a folder")).expect("made");
        std::fs::copy(&file, seen).expect("copied");
    }
    world.stack.api.take().expect("runs").stopped().await;
    world.stack.start_api().await;
    world.stack.start_worker().await;
    world.report().await
}

/// What is read back is not what was stored: it never reaches LoopAI, and goes on once the bytes are restored.
async fn damaged() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    world.stack.start_api().await;
    world.submit().await;
    let [path] = &stored(&world)[..] else { panic!("one photo was stored") };
    let whole = std::fs::read(path).expect("the photo");
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    std::fs::write(path, &damaged).expect("written");
    world.stack.start_worker().await;
    eventually("the damage to be noticed", || async {
        let log = world.stack.worker.as_ref().expect("runs").log();
        log.contains("have another checksum").then_some(())
    })
    .await;
    assert!(world.stack.loopai.executions().is_empty(), "damaged bytes are not sent");
    std::fs::write(path, &whole).expect("written");
    world.report().await
}

/// Bytes that were stored for a submission that was never committed are swept; those that are named stay.
async fn unnamed() -> Report {
    let options = StackOptions::default()
        .with("UNNAMED_BYTES_SECONDS", "3")
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut world = World::start(options).await;
    let stays = world.submit().await;
    let kept = stored(&world);
    let orphan = photos::cat_webp();
    world.stack.failpoints.arm(diagflow_store::Failpoint::SubmissionUncommitted);
    let email = world.patient();
    let sending = world.send_photos(&email, None, vec![orphan]);
    world.api_dies_at(diagflow_store::Failpoint::SubmissionUncommitted).await;
    sending.await.expect("ran").expect_err("its connection broke");
    assert_eq!(stored(&world).len(), 2, "the bytes were stored before");
    eventually("the bytes to be swept", || async { (stored(&world).len() == 1).then_some(()) })
        .await;
    assert_eq!(stored(&world), kept, "{} still has its own", stays.submission_id);
    assert_eq!(world.stack.database.rows("unnamed_bytes").await, 0);
    world.report().await
}

/// The API is killed in the middle of writing an image: what is there of it is swept, and the same image, which is
/// sent again meanwhile, stays.
async fn half_stored() -> Report {
    let options = StackOptions::default().with("UNNAMED_BYTES_SECONDS", "3");
    let mut world = World::without_processes(options).await;
    world.stack.start_api_that_dies_writing(100_000).await;
    let email = world.patient();
    let sent = world.send(&email, None).await.expect("ran");
    sent.expect_err("its connection broke");
    let [half] = &stored(&world)[..] else { panic!("a part was stored") };
    assert_eq!(std::fs::metadata(half).expect("a file").len(), 100_000);
    world.stack.api.take().expect("was started").kill();
    world.stack.start_api().await;
    world.stack.start_worker().await;
    let again = world.send(&email, None).await.expect("ran").expect("an answer");
    world.acknowledge_sent(again, &email).await;
    eventually("the part to be swept", || async { (!half.exists()).then_some(()) }).await;
    assert_eq!(stored(&world).len(), 1, "the whole image is still there");
    world.report().await
}

/// The files of the storage.
fn stored(world: &World) -> Vec<PathBuf> {
    files_below(&world.stack.files())
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
