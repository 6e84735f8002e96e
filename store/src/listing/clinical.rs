//! What is medical about submissions of a list, for those who may read it.

use crate::error::StoreResult;
use crate::ids::SubmissionId;
use crate::pool::Store;
use crate::schema::{results, submissions};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

/// What is medical about a submission, but for its images.
#[derive(Clone, PartialEq, Eq)]
pub struct Clinical {
    /// What the patient wrote; may be empty.
    pub comments: String,
    /// The newest result, as JSON.
    pub result: Option<String>,
}

impl Store {
    /// What is medical about these submissions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn clinical(
        &self,
        ids: &[SubmissionId],
    ) -> StoreResult<HashMap<SubmissionId, Clinical>> {
        let mut connection = self.connection().await?;
        let comments: Vec<(SubmissionId, String)> = submissions::table
            .filter(submissions::id.eq_any(ids))
            .select((submissions::id, submissions::comments))
            .load(&mut connection)
            .await?;
        let found: Vec<(SubmissionId, String)> = results::table
            .filter(results::submission_id.eq_any(ids))
            .order((results::submission_id, results::run_number))
            .select((results::submission_id, results::body))
            .load(&mut connection)
            .await?;
        // Of several results of one submission the last stays, which is the newest.
        let mut results: HashMap<_, _> = found.into_iter().collect();
        let with_result = |(id, comments): (SubmissionId, String)| {
            let result = results.remove(&id);
            (id, Clinical { comments, result })
        };
        Ok(comments.into_iter().map(with_result).collect())
    }
}
