//! Tests of photos that take a lot of CPU time to check.

use super::TestApi;
use super::requests::{Form, json_image, picture, post_json, received, valid_submission};
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::Peer;
use axum::body::Body;
use axum::http::Request;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures::future::select_all;
use image::ImageFormat;
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::task::JoinHandle;

const SIDE: usize = 10_000;
/// Bytes per row: four 16-bit channels per pixel, and a filter byte.
const ROW: usize = 8 * SIDE + 1;

/// Returns a small PNG file of a black 100-megapixel photo, whose rows take up 800 MB.
fn large_png() -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("a short chunk");
        let mut checksum = Crc::new();
        checksum.update(name);
        checksum.update(data);
        [&length.to_be_bytes(), &name[..], data, &checksum.sum().to_be_bytes()].concat()
    };
    let side = (SIDE as u32).to_be_bytes();
    let header = [&side[..], &side, &[16, 6, 0, 0, 0]].concat();
    // After a full flush, the next part of the stream does not refer to earlier parts, so it can be repeated.
    let mut hundred_rows = Vec::with_capacity(1024 * 1024);
    let mut compress = Compress::new(Compression::default(), false);
    let compressed =
        compress.compress_vec(&vec![0; 100 * ROW], &mut hundred_rows, FlushCompress::Full);
    compressed.expect("enough capacity");
    let mut pixels = vec![0x78, 0x01];
    pixels.extend(hundred_rows.repeat(SIDE / 100));
    // The empty last block, and the Adler-32 checksum of a stream of zeros.
    pixels.extend([0x03, 0x00]);
    let checksum = u32::try_from(SIDE * ROW % 65_521).expect("a remainder") << 16 | 1;
    pixels.extend(checksum.to_be_bytes());
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &pixels), chunk(b"IEND", &[])];
    [&b"\x89PNG\r\n\x1A\n"[..], &chunks.concat()].concat()
}

/// Returns a submission from this client with one photo.
fn submission(client: u8, photo: &[u8]) -> Request<Body> {
    let form = Form::default().text("email", "me@example.org").text("consent", "on");
    let mut request = form.file("images", "photo", "", photo).post();
    let address = Ipv4Addr::new(192, 0, 2, client);
    request.extensions_mut().insert(Peer((address, 1).into()));
    request
}

#[tokio::test]
async fn many_large_photos_from_one_client_do_not_delay_another_client() {
    let state = TestApi::new().await.state();
    let photo = large_png();
    let receive_large = |_| {
        let (state, request) = (state.clone(), submission(1, &photo));
        tokio::spawn(async move { received(&state, request).await.map(drop) })
    };
    let flood: Vec<_> = (0..10).map(receive_large).collect();
    while state.photo_checks.running() == 0 {
        tokio::task::yield_now().await;
    }

    let other = received(&state, submission(2, &picture(ImageFormat::Png))).await;

    assert!(other.is_ok(), "{other:?}");
    assert!(flood.iter().all(|task| !task.is_finished()), "the large photos take much longer");
    first_accepted(flood).await.iter().for_each(JoinHandle::abort);
}

/// Waits until a submission is accepted, and returns the others. On a slow machine, some wait too long and are rejected.
async fn first_accepted(
    mut submissions: Vec<JoinHandle<ApiResult<()>>>,
) -> Vec<JoinHandle<ApiResult<()>>> {
    loop {
        let (first, _, others) = select_all(submissions).await;
        match first.expect("no panic") {
            Ok(()) => return others,
            Err(ApiError::Busy) => submissions = others,
            Err(error) => panic!("the large photos are valid: {error:?}"),
        }
    }
}

#[tokio::test]
async fn the_upload_timeout_includes_checking_the_photos() {
    let api = TestApi::with(|settings| settings.upload_timeout = Duration::from_millis(300)).await;
    let state = api.state();
    let received = received(&state, submission(1, &large_png())).await;
    assert!(matches!(received, Err(ApiError::Busy)), "{received:?}");
    assert_eq!(state.photo_checks.running(), 1, "the check still holds its permit");
}

#[tokio::test]
async fn photos_are_checked_only_if_all_other_fields_are_valid() {
    let api = TestApi::new().await;
    let png = picture(ImageFormat::Png);
    let mut body = valid_submission();
    body["images"] = json!([json_image("image/png", &png[..png.len() - 20])]);
    let response = api.send(post_json(&body)).await.json();
    assert_eq!(response["error"]["details"][0]["code"], "image_damaged", "{response}");
    body["email"] = json!("me");
    let response = api.send(post_json(&body)).await.json();
    let details = response["error"]["details"].as_array().expect("details");
    assert_eq!(details.len(), 1, "{response}");
    assert_eq!(details[0]["code"], "email_invalid");
}
