//! `/api/admin`: what staff see of all submissions, and do to them.

pub(super) mod deletion;
pub(super) mod detail;
pub(super) mod export;
pub(super) mod file;
pub(super) mod list;
pub(super) mod live;

use crate::error::ApiError;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use std::str::FromStr;

/// The id in a path; what is none names nothing.
fn named<T: FromStr>(id: Result<Path<String>, PathRejection>) -> Result<T, ApiError> {
    id.ok().and_then(|Path(id)| id.parse().ok()).ok_or(ApiError::NotFound)
}
