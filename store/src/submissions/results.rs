//! LoopAI's results, which are stored in full.

use crate::db::error::{StoreError, StoreResult};
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::results;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value};

/// Maximum size of a result in bytes. The database server must accept values of this size (see `db/limits.rs`).
pub const MAX_RESULT_BYTES: usize = 5 * 1024 * 1024;

/// A LoopAI result: a JSON object without a fixed schema.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagnosisResult(Map<String, Value>);

impl DiagnosisResult {
    pub fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    pub fn object(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn to_text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl Store {
    /// Returns a submission's newest result.
    pub async fn result(&self, submission: SubmissionId) -> StoreResult<Option<DiagnosisResult>> {
        let mut connection = self.connection().await?;
        let body: Option<String> = results::table
            .filter(results::submission_id.eq(submission))
            .order(results::run_number.desc())
            .select(results::body)
            .first(&mut connection)
            .await
            .optional()?;
        body.map(|body| {
            serde_json::from_str(&body)
                .map(DiagnosisResult)
                .map_err(|error| StoreError::Corrupt(format!("result of {submission}: {error}")))
        })
        .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_result_preserves_every_digit() {
        let text =
            r#"{"score":2.638344616030823e-256,"share":0.0762,"whole":18446744073709551615}"#;
        let object = serde_json::from_str(text).expect("an object");
        assert_eq!(DiagnosisResult::new(object).to_text(), text);
    }
}
