//! Real photographs for tests, described in `tests/photos/README.md`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diagflow_photos::{Format, without_metadata};
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::PathBuf;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Photo {
    pub name: &'static str,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Photo {
    /// Returns the bytes received by LoopAI, from which the metadata has been removed.
    pub fn cleaned(&self) -> Vec<u8> {
        let format = Format::from_media_type(self.media_type).expect("an accepted format");
        without_metadata(&self.bytes, format).expect("a photo")
    }

    /// Returns the photo as JSON with a `data:` URL, as sent by the existing front end.
    pub fn json(&self) -> Value {
        let data = format!("data:{};base64,{}", self.media_type, STANDARD.encode(&self.bytes));
        json!({"data": data, "type": self.media_type, "size": self.bytes.len(), "name": self.name})
    }
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("photos").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn retina() -> Photo {
    Photo { name: "retina.jpg", media_type: "image/jpeg", bytes: read("retina.jpg") }
}

/// Reads a photo from `photos/tests/found`.
pub fn found(name: &'static str) -> Photo {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../photos/tests/found").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let media_type = diagflow_photos::read_header(&bytes).expect("a photo").format.media_type();
    Photo { name, media_type, bytes }
}

pub fn cat() -> Photo {
    Photo { name: "chelsea.png", media_type: "image/png", bytes: read("chelsea.png") }
}

/// Returns a photo with a random comment segment, which causes every copy to be stored as a separate file.
pub fn unique_retina() -> Photo {
    const START_OF_IMAGE: usize = 2;
    let note = Uuid::new_v4();
    let mut comment = vec![0xFF, 0xFE, 0, 2 + note.as_bytes().len() as u8];
    comment.extend(note.as_bytes());
    let mut photo = retina();
    photo.bytes.splice(START_OF_IMAGE..START_OF_IMAGE, comment);
    photo
}

pub fn cat_webp() -> Photo {
    let image = image::load_from_memory(&read("chelsea.png")).expect("a photo");
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::WebP).expect("an encoded image");
    Photo { name: "chelsea.webp", media_type: "image/webp", bytes: bytes.into_inner() }
}
