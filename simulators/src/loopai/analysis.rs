//! Runs an execution: loads and measures its images, and ends it after its delay.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    measure::{self, Measurement},
    records::ImageRecord,
    report::{self, ReadImage},
    state::Simulation,
    submission::{SentImage, Source},
};

const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_FETCH_BYTES: usize = 32 * 1024 * 1024;

/// A decoded photo takes up to several hundred megabytes, so only one photo per core is decoded at a time.
static DECODERS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(cores)
});

/// Accepts base64 with or without padding because clients send both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Measures `images` and ends the execution after `delay`, or once the measurements are done if that takes longer.
pub(super) async fn run(
    simulation: Arc<Simulation>,
    execution_id: String,
    images: Vec<SentImage>,
    delay: Duration,
) {
    let end = Instant::now() + delay;
    let mut read = Vec::with_capacity(images.len());
    for (index, image) in images.into_iter().enumerate() {
        let (record, image) = analyse_image(image).await;
        simulation.record_image(&execution_id, index, record);
        read.push(image);
    }
    simulation.record_measurements(&execution_id, report::result(&read));
    tokio::time::sleep_until(end).await;
    simulation.finish(&execution_id);
}

async fn analyse_image(image: SentImage) -> (ImageRecord, ReadImage) {
    let mut record = image.record();
    let analysis = match fetch(image.source).await {
        Ok(source) => hash_and_measure(source).await,
        Err(problem) => Err(problem),
    };
    let measured = analysis.and_then(|analysis| {
        let sent = image.sha256.as_ref();
        record.size = Some(analysis.size as u64);
        record.sha256_matches = sent.map(|sent| sent.eq_ignore_ascii_case(&analysis.sha256));
        record.sha256 = Some(analysis.sha256);
        analysis.measured
    });
    let read = ReadImage { name: image.name, sha256_matches: record.sha256_matches, measured };
    (record, read)
}

struct Analysis {
    size: usize,
    sha256: String,
    measured: Result<Measurement, String>,
}

async fn hash_and_measure(bytes: ImageBytes) -> Result<Analysis, String> {
    let Ok(_permit) = DECODERS.acquire().await else {
        return Err("the simulator is shutting down".to_owned());
    };
    let work = tokio::task::spawn_blocking(move || {
        let bytes = match bytes {
            ImageBytes::Plain(bytes) => bytes,
            ImageBytes::Encoded(text) => decode(&text)?,
        };
        Ok(Analysis {
            size: bytes.len(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            measured: measure::measure(&bytes).map_err(|error| error.to_string()),
        })
    });
    // A decoder that panics on a damaged file must not crash the simulator, so the panic is converted to an error.
    work.await.unwrap_or_else(|error| Err(format!("the decoder failed: {error}")))
}

enum ImageBytes {
    Plain(Vec<u8>),
    Encoded(String),
}

async fn fetch(source: Source) -> Result<ImageBytes, String> {
    match source {
        Source::Data(text) => Ok(ImageBytes::Encoded(text)),
        Source::Missing => Err("the image has neither `data` nor `url`".to_owned()),
        Source::Url(url) => tokio::time::timeout(FETCH_TIMEOUT, download(&url))
            .await
            .unwrap_or_else(|_| Err(format!("the URL did not respond within {FETCH_TIMEOUT:?}")))
            .map(ImageBytes::Plain),
    }
}

/// Decodes a `data:` URL or plain base64.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let encoded = match text.strip_prefix("data:") {
        Some(rest) => match rest.split_once(',') {
            Some((kind, encoded)) if kind.ends_with(";base64") => encoded,
            _ => return Err("the `data:` URL is not base64-encoded".to_owned()),
        },
        None => text,
    };
    let decoded = BASE64.decode(encoded.trim());
    decoded.map_err(|error| format!("the base64 data is invalid: {error}"))
}

async fn download(url: &str) -> Result<Vec<u8>, String> {
    static CLIENT: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| {
        // The error is ignored because this process may already have a crypto provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().build();
        client.map_err(|error| error.to_string())
    });
    // The URL is omitted from error messages because a signed URL is a secret until it expires.
    let describe = |error: reqwest::Error| format!("the download failed: {}", error.without_url());
    let response = CLIENT.as_ref()?.get(url).send().await.map_err(describe)?;
    if !response.status().is_success() {
        return Err(format!("the URL returned {}", response.status()));
    }
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(describe)?);
        if bytes.len() > MAX_FETCH_BYTES {
            return Err(format!("the image is larger than {MAX_FETCH_BYTES} bytes"));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn data_urls_and_plain_base64_are_decoded_with_and_without_padding() {
        for text in [
            "data:image/png;base64,aGV5IQ==",
            "aGV5IQ==",
            "aGV5IQ",
            "data:image/jpeg;name=x;base64,aGV5IQ",
        ] {
            assert_eq!(decode(text).as_deref(), Ok(b"hey!".as_slice()), "{text}");
        }
        for text in ["data:image/png,hey", "data:image/png;base64", "%%%"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
