//! Handles conditional requests (RFC 9110, 13.1.2). A client sends the entity tag of its copy of a document, and
//! receives the document only if it has changed.

use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_extra::headers::{self, ETag, HeaderMapExt};
use diagflow_store::Sha256;
use std::convert::Infallible;
use utoipa::openapi::{Required, Type};

/// Returns a strong entity tag. Documents with the same tag are byte-for-byte identical.
pub(crate) fn entity_tag(document: &[u8]) -> ETag {
    format!("\"{}\"", Sha256::of(document))
        .parse()
        .expect("hexadecimal digits in quotes are an ETag")
}

/// The `If-None-Match` header. Ignored if it is invalid.
pub(crate) struct IfNoneMatch(Option<headers::IfNoneMatch>);

impl IfNoneMatch {
    /// Whether the client already has the document with this tag.
    pub(crate) fn matches(&self, tag: &ETag) -> bool {
        self.0.as_ref().is_some_and(|header| !header.precondition_passes(tag))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.typed_get()))
    }
}

impl Documented for IfNoneMatch {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_header(
            "If-None-Match",
            Type::String,
            Required::False,
            "`ETag` from the previous response. If the document has not changed, the response is 304 without a body.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use axum::http::header::IF_NONE_MATCH;
    use futures::FutureExt;

    fn matches(header: &str, tag: &ETag) -> bool {
        let request = Request::builder().header(IF_NONE_MATCH, header).body(()).expect("a request");
        let mut parts = request.into_parts().0;
        let read = IfNoneMatch::from_request_parts(&mut parts, &()).now_or_never();
        let Ok(header) = read.expect("ready");
        header.matches(tag)
    }

    #[test]
    fn a_document_matches_only_its_own_tag() {
        let (tag, other) = (entity_tag(b"a document"), entity_tag(b"another"));
        let mut headers = axum::http::HeaderMap::new();
        headers.typed_insert(tag.clone());
        let text = headers["etag"].to_str().expect("text").to_owned();
        for same in [text.clone(), format!("W/{text}"), format!("\"x\", {text}"), "*".to_owned()] {
            assert!(matches(&same, &tag), "{same}");
            assert_eq!(matches(&same, &other), same == "*", "{same}");
        }
        for invalid in ["", "x", "\"", text.trim_matches('"')] {
            assert!(!matches(invalid, &tag), "{invalid:?}");
        }
    }
}
