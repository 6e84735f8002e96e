//! Tests of a database or file storage that responds slowly or not at all while a submission is being stored. The API
//! does not report a request as failed if it may have succeeded.

use diagflow_store::BlobStore;
use diagflow_tests::client::expect_accepted;
use diagflow_tests::responses::refusal;
use diagflow_tests::{ApiClient, Stack, StackOptions, eventually, photos};
use diesel_async::SimpleAsyncConnection;
use serde_json::Value;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use url::Url;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn body() -> Value {
    ApiClient::submission_body("ana@example.org", "", &[photos::retina()])
}

#[tokio::test]
async fn a_slow_request_continues_after_its_timeout_and_a_repeat_returns_its_response() {
    let options = StackOptions::default().with("REQUEST_TIMEOUT_SECONDS", "1");
    let stack = Stack::api_only(options).await;
    let mut lock = stack.database.connect().await;
    lock.batch_execute("LOCK TABLES submissions WRITE").await.expect("locked");

    let body = body();
    let first = stack.client.post(&body, Some("key-1")).await.expect("a response");
    assert_eq!(refusal(first).await, (503, "outcome_unknown".to_owned()));
    lock.batch_execute("UNLOCK TABLES").await.expect("unlocked");

    eventually("the first request to be stored", || async {
        (stack.database.count_rows("submissions").await == 1).then_some(())
    })
    .await;
    let repeat = stack.client.post(&body, Some("key-1")).await.expect("a response");
    assert_eq!(repeat.headers()["idempotency-replayed"], "true");
    let stored = stack.database.texts("SELECT id FROM submissions").await;
    assert_eq!(stored, [expect_accepted(repeat).await.submission_id]);
    stack.stop().await;
}

#[tokio::test]
async fn a_lost_commit_response_is_not_reported_as_a_failure() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (proxy, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    proxy.drop_response_to("COMMIT", "INSERT INTO `submissions`");

    let response = stack.client.post(&body(), None).await.expect("a response");

    assert_eq!(refusal(response).await, (503, "outcome_unknown".to_owned()));
    assert_eq!(
        stack.database.count_rows("submissions").await,
        1,
        "the submission must be stored even though the commit response was lost"
    );
    stack.stop().await;
}

/// Returns the files in the only subfolder of the file storage, sorted by name.
fn stored(stack: &Stack) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(stack.files()).expect("the storage");
    let folder = folders.map(|entry| entry.expect("an entry").path()).next().expect("a folder");
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn an_old_partial_file_left_by_a_killed_process_is_removed() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api_with_file_size_limit(100_000).await;
    stack.client.post(&body(), None).await.expect_err("a broken connection");
    stack.api.take().expect("running").kill();
    let partial = stored(&stack).pop().expect("a partial file");
    assert_eq!(partial.metadata().expect("a file").len(), 100_000);
    stack.start_api().await;
    stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let [complete, _] = &stored(&stack)[..] else {
        panic!("expected the image and the partial file")
    };
    assert_eq!(std::fs::read(complete).expect("bytes"), photos::retina().bytes);

    let address = Url::from_file_path(stack.files()).expect("an address");
    let bytes = BlobStore::open(&address).expect("a storage");
    assert_eq!(
        bytes.sweep_temp_files(DAY).await.expect("swept"),
        0,
        "a recent partial file, which may still be in use, was removed"
    );
    for file in [complete, &partial] {
        let file = File::options().write(true).open(file).expect("a file");
        file.set_modified(SystemTime::now() - 2 * DAY).expect("set");
    }
    assert_eq!(bytes.sweep_temp_files(DAY).await.expect("swept"), 1);

    assert_eq!(stored(&stack), std::slice::from_ref(complete));
    stack.stop().await;
}
