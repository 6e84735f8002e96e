//! Tests that LoopAI receives photos without their metadata and that the stored photos are unchanged.

use diagflow_store::{BlobStore, Sha256};
use diagflow_tests::assertions::{executions, wait_completed_once};
use diagflow_tests::stack::id_of;
use diagflow_tests::{Stack, StackOptions, photos};

/// Submits photos with metadata, then asserts that LoopAI receives no metadata and that the stored photos are
/// unchanged.
async fn assert_sent_without_metadata(transfer: &str) {
    let stack = Stack::with(StackOptions::default().with("LOOPAI_IMAGES", transfer)).await;
    let sent = [
        photos::found("motion_photo.jpg"),
        photos::found("exif_thumbnail.jpg"),
        photos::found("vp8x_flag_exif_but_no_exif.webp"),
    ];

    let accepted = stack.client.submit("ana@example.org", "itches", &sent).await;

    wait_completed_once(&stack, &accepted).await;
    let received = &executions(&stack, &accepted)[0].images;
    let names: Vec<_> = received.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["image-1.jpg", "image-2.jpg", "image-3.webp"]);
    let blobs = BlobStore::open(&stack.setting("STORAGE_URL").parse().expect("an address"))
        .expect("a directory");
    let files = stack.store.files(id_of(&accepted)).await.expect("files");
    for ((photo, image), file) in sent.iter().zip(received).zip(&files) {
        let cleaned = photo.cleaned();
        assert!(cleaned != photo.bytes, "{} must contain metadata", photo.name);
        assert_eq!(image.sha256, Some(Sha256::of(&cleaned).to_string()), "{}", photo.name);
        assert_eq!(image.sha256_matches, Some(true), "{}", photo.name);
        let stored = blobs.get(file.sha256).await.expect("a stored file");
        assert!(stored == photo.bytes, "{} is not stored as it was sent", photo.name);
    }
    stack.stop().await;
}

#[tokio::test]
async fn loopai_receives_embedded_photos_without_metadata() {
    assert_sent_without_metadata("data").await;
}

#[tokio::test]
async fn loopai_downloads_photos_without_metadata() {
    assert_sent_without_metadata("url").await;
}
