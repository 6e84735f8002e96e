//! The uploaded images' records. Their bytes stand in the object store, under their SHA-256.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{FileId, Sha256, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::files;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// A file that was checked, and whose bytes are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// The name that the patient's device gave it.
    pub name: String,
    /// What its bytes are, e.g. `image/jpeg`.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = files)]
pub struct File {
    /// Its name in our records.
    pub id: FileId,
    /// The submission that it belongs to.
    pub submission_id: SubmissionId,
    /// Place within the submission, from 1.
    pub position: i32,
    /// The name that the patient's device gave it.
    pub name: String,
    /// What its bytes are, e.g. `image/jpeg`.
    pub media_type: String,
    /// Bytes.
    pub size: i64,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

impl Store {
    /// The files of a submission, in the order in which they were sent.
    pub async fn files(&self, submission: SubmissionId) -> StoreResult<Vec<File>> {
        let mut connection = self.connection().await?;
        let found = files::table
            .filter(files::submission_id.eq(submission))
            .order(files::position)
            .select(File::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }

    /// One file.
    pub async fn file(&self, id: FileId) -> StoreResult<Option<File>> {
        let mut connection = self.connection().await?;
        let found = files::table.find(id).select(File::as_select()).first(&mut connection).await;
        Ok(found.optional()?)
    }
}

pub(crate) async fn insert(
    connection: &mut Connection,
    submission: SubmissionId,
    new: &[NewFile],
) -> StoreResult<()> {
    let rows: Vec<_> = (1i32..)
        .zip(new)
        .map(|(position, file)| {
            (
                files::id.eq(FileId::new()),
                files::submission_id.eq(submission),
                files::position.eq(position),
                files::name.eq(&file.name),
                files::media_type.eq(&file.media_type),
                files::size.eq(i64::try_from(file.size).unwrap_or(i64::MAX)),
                files::sha256.eq(file.sha256),
                files::created_at.eq(now()),
            )
        })
        .collect();
    diesel::insert_into(files::table).values(rows).execute(connection).await?;
    Ok(())
}
