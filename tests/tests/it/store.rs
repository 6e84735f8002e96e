//! The store on a real database: schema, status transitions, event numbers, and an index for every
//! query.

mod adoption;
mod consent;
mod database_stalls;
mod deliveries;
mod event_numbers;
mod indexes;
mod schema;
mod slots;
mod stale_items;
mod transitions;

use diagflow_store::{
    Consent, NewFile, NewSubmission, PoolSettings, RunKey, Sha256, Store, SubmissionId,
};
use diagflow_tests::database::Database;
use std::time::Duration;

/// A database and a store, without the rest of the system.
struct Records {
    database: Database,
    store: Store,
}

impl Records {
    async fn new() -> Records {
        let database = Database::migrated().await;
        let pool = PoolSettings {
            url: database.url(),
            size: 8,
            pool_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
        };
        Records { store: Store::connect(&pool).await.expect("a pool"), database }
    }

    /// Stores a submission; returns its first run.
    async fn submission(&self) -> RunKey {
        let id = SubmissionId::new();
        let photo = b"a photo";
        let file = NewFile {
            name: "photo.png".to_owned(),
            media_type: "image/png".to_owned(),
            size: photo.len() as u64,
            sha256: Sha256::of(photo),
        };
        let new = NewSubmission {
            id,
            email: "ana@example.org".parse().expect("an address"),
            comments: String::new(),
            consent: Consent { version: "2026-11".to_owned() },
            files: vec![file],
            start_grace: Duration::ZERO,
            submitted_by: None,
            audit_entry: None,
        };
        self.store.reserve_blobs(&[Sha256::of(photo)]).await.expect("reserved");
        assert!(self.store.create_submission(&new, None).await.expect("stored"));
        RunKey { submission: id, number: 1 }
    }

    async fn remove(self) {
        drop(self.store);
        self.database.remove().await;
    }
}
