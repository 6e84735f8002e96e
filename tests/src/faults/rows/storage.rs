//! The bytes of images.

use crate::eventually;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::photos;
use crate::stack::StackOptions;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Uploads that break off, a full disk, bytes that were damaged, and bytes that nobody names.
pub(crate) async fn bytes() -> Report {
    let broken = broken_off().await.and(full_disk().await).and(damaged().await);
    broken.and(unnamed().await).and(half_stored().await)
}

/// Half of a body, and then nobody: nothing of it is stored.
async fn broken_off() -> Report {
    let world = World::start(StackOptions::default()).await;
    let address = world.stack.variable("LISTEN_ADDRESS");
    for goes_on in [false, true] {
        let mut line = TcpStream::connect(&address).await.expect("connects");
        let head = "POST /api/user/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Content-Length: 100000\r\n\r\n{\"email\": \"ana@example.org\", \"images\": [";
        line.write_all(head.as_bytes()).await.expect("writes");
        if goes_on {
            // The other half is missing, but somebody waits for the answer.
            line.shutdown().await.expect("closes its half");
            let mut answer = String::new();
            let _ = line.read_to_string(&mut answer).await;
            assert!(!answer.contains(" 202 "), "{answer}");
        }
    }
    assert_eq!(world.stack.database.rows("submissions").await, 0);
    assert_eq!(stored(&world), Vec::<PathBuf>::new());
    world.report().await
}

/// The file system of the storage has no room left: the patient is asked to come again, nothing half-made
/// remains, and later it goes well.
async fn full_disk() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    // A file system of 64 KiB in the API's own view of the machine; the photo is larger.
    world.stack.start_api_on_a_small_disk().await;
    let refused = world.send(&world.patient(), None).await.expect("ran").expect("an answer");
    let (status, asks) = (refused.status(), refused.headers().contains_key("retry-after"));
    let text = refused.text().await.expect("a body");
    assert_eq!((status.as_u16(), asks), (503, true), "{text}");
    for table in ["submissions", "files", "runs", "events"] {
        assert_eq!(world.stack.database.rows(table).await, 0, "{table}");
    }
    world.stack.api.take().expect("runs").stopped().await;
    world.stack.start_api().await;
    world.stack.start_worker().await;
    world.submit().await;
    world.report().await
}

/// What is read back is not what was stored: it never reaches LoopAI, and goes on once the bytes are restored.
async fn damaged() -> Report {
    let mut world = World::without_processes(StackOptions::default()).await;
    world.stack.start_api().await;
    world.submit().await;
    let [path] = &stored(&world)[..] else { panic!("one photo was stored") };
    let mut bytes = photos::cat().bytes;
    bytes[1000] ^= 1;
    std::fs::write(path, &bytes).expect("written");
    world.stack.start_worker().await;
    eventually("the damage to be noticed", || async {
        let log = world.stack.worker.as_ref().expect("runs").log();
        log.contains("have another checksum").then_some(())
    })
    .await;
    assert!(world.stack.loopai.executions().is_empty(), "damaged bytes are not sent");
    std::fs::write(path, photos::cat().bytes).expect("written");
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
    // The same photo in another encoding, so that its bytes are others.
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
    let sent = world.send(&world.patient(), None).await.expect("ran");
    sent.expect_err("its connection broke");
    let [half] = &stored(&world)[..] else { panic!("a part was stored") };
    assert_eq!(std::fs::metadata(half).expect("a file").len(), 100_000);
    world.stack.api.take().expect("was started").kill();
    world.stack.start_api().await;
    world.stack.start_worker().await;
    world.submit().await;
    eventually("the part to be swept", || async { (!half.exists()).then_some(()) }).await;
    assert_eq!(stored(&world).len(), 1, "the whole image is still there");
    world.report().await
}

/// The files of the storage.
fn stored(world: &World) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(world.stack.files()).expect("the storage");
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("an entry").path()));
    let mut all: Vec<_> = files.flatten().map(|file| file.expect("an entry").path()).collect();
    all.sort();
    all
}
