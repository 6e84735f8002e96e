//! Documents error responses: one response per HTTP status, with a list of the possible error codes.

use crate::error::ErrorCode;
use std::collections::BTreeMap;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    Content, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
};

type Responses = BTreeMap<String, RefOr<Response>>;

pub(crate) fn add(operation: &mut Operation, codes: &[ErrorCode]) {
    add_to(&mut operation.responses.responses, codes);
}

fn add_to(responses: &mut Responses, codes: &[ErrorCode]) {
    for code in codes {
        let line = format!("`{}`: {}", code.as_str(), code.meaning());
        let response = responses.entry(code.status().as_str().to_owned()).or_insert_with(|| {
            let schema = Ref::from_schema_name("ErrorBody");
            let content = Content::new(Some(schema));
            ResponseBuilder::new().content("application/json", content).build().into()
        });
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = line;
        } else if !response.description.contains(&line) {
            response.description.push_str("\n\n");
            response.description.push_str(&line);
        }
        if code.has_retry_after() {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("Number of seconds to wait before repeating the request."));
            response.headers.insert("Retry-After".to_owned(), header.build().into());
        }
    }
}

pub(crate) fn responses(codes: &[ErrorCode]) -> Responses {
    let mut responses = Responses::new();
    add_to(&mut responses, codes);
    responses
}

/// Declares the errors that a handler itself returns, for `responses(…)`. Extractors, guards and layers document their
/// own errors.
macro_rules! errors {
    ($name:ident: $($code:ident),+ $(,)?) => {
        pub(crate) enum $name {}

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::openapi::error_responses::responses(&[
                    $($crate::error::ErrorCode::$code),+
                ])
            }
        }
    };
}
pub(crate) use errors;
