//! Example requests. Tests send them and check that the responses are as documented, so the examples also work in
//! `/docs`.

use serde_json::{Value, json};

/// A photo that measures 8 by 8 pixels.
const PHOTO: &str = "data:image/jpeg;base64,\
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVk\
    VGZIhlbXd7gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8\
    fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAIAAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAT/xA\
    AdEAACAgEFAAAAAAAAAAAAAAAAAgEDERQhIkHh/8QAFQEBAQAAAAAAAAAAAAAAAAAAAwT/xAAUEQEAAAAAAAAAAAAA\
    AAAAAAAA/9oADAMBAAIRAxEAPwCpmu1CqqRNWOTdxO/gAAVv/9k=";
const PHOTO_BYTES: usize = 308;

pub(crate) const EMAIL: &str = "patient@example.org";
pub(crate) const COMMENTS: &str = "The spot on my arm has been itching since Monday.";

/// A JSON submission. It omits the consent version, so it is valid with any settings.
pub(crate) fn submission() -> Value {
    json!({ "email": EMAIL, "comments": COMMENTS, "consent": true, "images": [image()] })
}

pub(crate) fn image() -> Value {
    json!({ "data": PHOTO, "type": "image/jpeg", "size": PHOTO_BYTES, "name": "photo.jpg" })
}

pub(crate) fn diagnosis_result() -> Value {
    json!({
        "summary": "A harmless mole.",
        "findings": [{
            "label": "Mole",
            "confidence": 0.87,
            "description": "Even colour and a regular border.",
            "file": "image-1.jpg",
        }],
        "recommendations": ["See a doctor if the spot changes."],
    })
}
