//! The records of uploaded files, whose bytes are in the object store.

use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{FileId, Sha256, SubmissionId};
use crate::db::pool::Store;
use crate::db::schema::files;
use diagflow_photos::Format;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub name: String,
    /// Media type detected from the bytes, such as `image/jpeg`.
    pub media_type: String,
    pub size: u64,
    pub sha256: Sha256,
    pub cleaned_size: u64,
    pub cleaned_sha256: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = files)]
pub struct File {
    pub id: FileId,
    pub submission_id: SubmissionId,
    /// Position of the file within its submission, starting at 1.
    pub position: i32,
    pub name: String,
    pub media_type: String,
    pub size: i64,
    pub sha256: Sha256,
    /// Size of the photo without metadata, in bytes.
    pub cleaned_size: i64,
    /// Digest of the photo without metadata.
    pub cleaned_sha256: Sha256,
}

impl File {
    /// Returns a name such as `image-1.jpg` for LoopAI because the original name may contain personal data.
    pub fn neutral_name(&self) -> String {
        let extension = Format::from_media_type(&self.media_type).map_or("bin", Format::extension);
        format!("image-{}.{extension}", self.position)
    }
}

impl Store {
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
                files::cleaned_size.eq(i64::try_from(file.cleaned_size).unwrap_or(i64::MAX)),
                files::cleaned_sha256.eq(file.cleaned_sha256),
                files::created_at.eq(now()),
            )
        })
        .collect();
    diesel::insert_into(files::table).values(rows).execute(connection).await?;
    Ok(())
}
