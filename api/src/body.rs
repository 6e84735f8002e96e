//! Bodies of requests of staff: JSON, read with our own words for what is wrong.

use crate::error::ApiError;
use crate::intake::Fault;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Json, Request};
use serde::de::DeserializeOwned;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::UnsupportedMediaType),
            Err(JsonRejection::JsonSyntaxError(_)) => {
                Err(ApiError::InvalidJson { line: 1, column: 1 })
            }
            Err(_) => Err(ApiError::InvalidInput(vec![Fault {
                field: String::new(),
                code: "invalid_body",
                message: "The body does not have the fields that this needs".to_owned(),
            }])),
        }
    }
}
