//! Parses the body of a diagnose request and searches it for e-mail addresses, which Diagflow must not send.

use serde_json::Value;

use super::{
    directive::{self, DirectiveError},
    records::ImageRecord,
    scenario::Scenario,
};

/// The body of a diagnose request. Parsing is lenient because the platform's validation rules are unknown.
pub(super) struct Submission {
    pub(super) submission_id: Option<String>,
    pub(super) client_reference: Option<String>,
    pub(super) comments: Option<String>,
    pub(super) directive: Option<Scenario>,
    pub(super) images: Vec<SentImage>,
    pub(super) email_paths: Vec<String>,
}

pub(super) struct SentImage {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) source: Source,
}

pub(super) enum Source {
    /// A `data:` URL or plain base64.
    Data(String),
    Url(String),
    Missing,
}

impl Source {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Url(_) => "url",
            Self::Missing => "missing",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the body must be a JSON object")]
    NotAnObject,
    #[error("`images` must be an array of objects")]
    InvalidImages,
    #[error(transparent)]
    Directive(#[from] DirectiveError),
}

impl Submission {
    /// Parses a body. Do not call this on async threads because large bodies take a long time.
    pub(super) fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let mut body: Value = serde_json::from_slice(body)?;
        let images = match body.get_mut("images").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(images)) => images,
            Some(_) => return Err(BodyError::InvalidImages),
        };
        if !body.is_object() {
            return Err(BodyError::NotAnObject);
        }
        let mut email_paths = Vec::new();
        find_emails(&body, "$", &mut email_paths);
        let numbered = images.into_iter().enumerate();
        let images = numbered
            .map(|(index, image)| SentImage::read(index, image, &mut email_paths))
            .collect::<Result<_, _>>()?;
        let comments = text(&body, "comments");
        let directive = match &comments {
            Some(comments) => directive::find(comments)?,
            None => None,
        };
        Ok(Self {
            submission_id: text(&body, "submission_id"),
            client_reference: text(&body, "client_reference"),
            comments: comments.filter(|comments| !contains_email_address(comments)),
            directive,
            images,
            email_paths,
        })
    }
}

impl SentImage {
    pub(super) fn record(&self) -> ImageRecord {
        ImageRecord {
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            source: self.source.name(),
            size: None,
            sha256: None,
            sha256_matches: None,
        }
    }

    fn read(index: usize, mut image: Value, emails: &mut Vec<String>) -> Result<Self, BodyError> {
        if !image.is_object() {
            return Err(BodyError::InvalidImages);
        }
        // Image data is skipped because it is large and contains no text.
        let data = image.get_mut("data").map(Value::take);
        find_emails(&image, &format!("$.images[{index}]"), emails);
        let source = match (data, text(&image, "url")) {
            (Some(Value::String(data)), _) => Source::Data(data),
            (_, Some(url)) => Source::Url(url),
            _ => Source::Missing,
        };
        Ok(Self {
            name: text(&image, "name").unwrap_or_else(|| format!("image {}", index + 1)),
            media_type: text(&image, "type"),
            sha256: text(&image, "sha256"),
            source,
        })
    }
}

fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field)?.as_str().map(ToOwned::to_owned)
}

/// Collects the JSON paths of `email` fields and of strings that contain an e-mail address.
fn find_emails(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if contains_email_address(text) => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_emails(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
                if plain.contains("email") && !field.is_null() {
                    found.push(path);
                } else {
                    find_emails(field, &path, found);
                }
            }
        }
        _ => {}
    }
}

/// Returns whether any word in `text` looks like an e-mail address. Prefers false positives to false negatives.
pub fn contains_email_address(text: &str) -> bool {
    let separators = |c: char| c.is_whitespace() || "<>()[]{},;:\"'|/".contains(c);
    text.split(separators).any(|word| {
        word.rsplit_once('@').is_some_and(|(local, domain)| {
            let domain = domain.trim_end_matches(['.', '!', '?']);
            !local.is_empty()
                && domain
                    .split_once('.')
                    .is_some_and(|(first, rest)| !first.is_empty() && !rest.is_empty())
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn emails_in(body: &Value) -> Vec<String> {
        let parsed = Submission::parse(body.to_string().as_bytes()).expect("a body");
        parsed.email_paths
    }

    #[test]
    fn email_addresses_are_found_everywhere_except_in_image_data() {
        let body = json!({
            "email": "x",
            "comments": "call me, or write to Jo.Doe@example.org.",
            "patient": {"contact_email": "y", "tags": ["a@b.example"]},
            "images": [{"name": "me@home.example.jpg", "data": "data:image/png;base64,a@b.c"}],
        });
        let mut found = emails_in(&body);
        found.sort();
        assert_eq!(
            found,
            [
                "$.comments",
                "$.email",
                "$.images[0].name",
                "$.patient.contact_email",
                "$.patient.tags[0]"
            ]
        );
    }

    #[test]
    fn ordinary_text_contains_no_email_address() {
        let body = json!({"comments": "at 5 pm @ home. 3@4, @nurse.", "email": null});
        assert_eq!(emails_in(&body), Vec::<String>::new());
    }

    #[test]
    fn invalid_submissions_are_rejected() {
        for body in ["", "[]", "\"x\"", "{\"images\": 3}", "{\"images\": [3]}"] {
            assert!(Submission::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
