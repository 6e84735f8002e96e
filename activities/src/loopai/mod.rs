//! Sends requests to LoopAI, the external platform that performs the diagnoses. Its contract is described in
//! `docs/loopai.md`.

mod client;
pub(crate) mod error;
mod images;
mod request_limiter;
mod settings;

pub use client::{DiagnoseRequest, ExecutionStatus, Image, ImageContent, LoopAiClient};
pub use error::{ErrorClass, LoopAiError};
pub use images::{ImageLinks, ImageTransfer};
pub use request_limiter::RequestLimiter;
pub use settings::{ImageMode, LoopAiSettings};
