//! Clinical data for lists of submissions. A result may be several megabytes long, so callers first read the sizes and
//! then load only as many submissions as fit in memory.

use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::SubmissionId;
use crate::db::pool::Store;
use crate::db::schema::{results, submissions};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

/// A submission's clinical data, excluding images.
#[derive(Clone, PartialEq, Eq)]
pub struct ClinicalData {
    pub comments: String,
    pub result: Option<String>,
}

diesel::define_sql_function! {
    fn octet_length(text: Text) -> BigInt;
}

diesel::alias!(results as newer: Newer);

/// Selects each submission's newest result without reading older results.
macro_rules! newest_results {
    ($ids:expr) => {
        results::table.filter(results::submission_id.eq_any($ids)).filter(not(exists(
            newer
                .filter(newer.field(results::submission_id).eq(results::submission_id))
                .filter(newer.field(results::run_number).gt(results::run_number)),
        )))
    };
}

impl Store {
    /// Returns the number of bytes that [`Store::clinical_data`] would read for each submission.
    pub async fn clinical_data_sizes(
        &self,
        ids: &[SubmissionId],
    ) -> StoreResult<HashMap<SubmissionId, usize>> {
        let mut connection = self.connection().await?;
        let comments: Vec<(SubmissionId, i64)> = submissions::table
            .filter(submissions::id.eq_any(ids))
            .select((submissions::id, octet_length(submissions::comments)))
            .load(&mut connection)
            .await?;
        let results: Vec<(SubmissionId, i64)> = newest_results!(ids)
            .select((results::submission_id, octet_length(results::body)))
            .load(&mut connection)
            .await?;
        let mut sizes: HashMap<_, usize> = HashMap::with_capacity(comments.len());
        for (id, bytes) in comments.into_iter().chain(results) {
            *sizes.entry(id).or_default() += usize::try_from(bytes).unwrap_or_default();
        }
        Ok(sizes)
    }

    pub async fn comments(
        &self,
        ids: &[SubmissionId],
    ) -> StoreResult<HashMap<SubmissionId, String>> {
        Ok(read_comments(&mut *self.connection().await?, ids).await?.into_iter().collect())
    }

    pub async fn clinical_data(
        &self,
        ids: &[SubmissionId],
    ) -> StoreResult<HashMap<SubmissionId, ClinicalData>> {
        let mut connection = self.connection().await?;
        let comments = read_comments(&mut connection, ids).await?;
        let newest: Vec<(SubmissionId, String)> = newest_results!(ids)
            .select((results::submission_id, results::body))
            .load(&mut connection)
            .await?;
        let mut results: HashMap<_, _> = newest.into_iter().collect();
        let with_result = |(id, comments): (SubmissionId, String)| {
            let result = results.remove(&id);
            (id, ClinicalData { comments, result })
        };
        Ok(comments.into_iter().map(with_result).collect())
    }
}

async fn read_comments(
    connection: &mut Connection,
    ids: &[SubmissionId],
) -> StoreResult<Vec<(SubmissionId, String)>> {
    let comments = submissions::table
        .filter(submissions::id.eq_any(ids))
        .select((submissions::id, submissions::comments))
        .load(connection)
        .await?;
    Ok(comments)
}
