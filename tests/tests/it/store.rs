//! Tests of the store with a real database: schema, status transitions, event numbers, and index use.

mod adoption;
mod consent;
mod corrections;
mod database_stalls;
mod deliveries;
mod event_numbers;
mod indexes;
mod overview;
mod pauses;
mod recipient_limits;
mod schema;
mod server_errors;
mod slots;
mod stale_items;
mod transitions;

use diagflow_store::{
    Consent, CreateOutcome, NewFile, NewSubmission, PoolSettings, RecipientLimits, RunKey, Sha256,
    Store, SubmissionId,
};
use diagflow_tests::database::Database;
use std::time::Duration;

const LARGE_LIMITS: RecipientLimits =
    RecipientLimits { max_open: Some(1000), max_per_day: Some(1000) };

fn new_submission(email: &str) -> NewSubmission {
    let photo = b"a photo";
    let file = NewFile {
        name: "photo.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: photo.len() as u64,
        sha256: Sha256::of(photo),
        cleaned_size: photo.len() as u64,
        cleaned_sha256: Sha256::of(photo),
    };
    NewSubmission {
        id: SubmissionId::new(),
        email: email.parse().expect("an address"),
        comments: String::new(),
        consent: Consent { version: "2026-11".to_owned() },
        language: Default::default(),
        files: vec![file],
        start_grace: Duration::ZERO,
        submitted_by: None,
        audit_entry: None,
    }
}

async fn connect(database: &Database) -> Store {
    let pool = PoolSettings {
        url: database.url(),
        size: 8,
        pool_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
    };
    Store::connect(&pool).await.expect("a pool")
}

async fn create(store: &Store, new: &NewSubmission, limits: RecipientLimits) -> CreateOutcome {
    store.reserve_blobs(&[Sha256::of(b"a photo")]).await.expect("reserved");
    store.create_submission(new, limits, None).await.expect("a response")
}

/// A database and a store without the rest of the system.
struct Records {
    database: Database,
    store: Store,
}

impl Records {
    async fn new() -> Records {
        let database = Database::migrated().await;
        Records { store: connect(&database).await, database }
    }

    /// Returns a second store with its own connections, like that of another process.
    async fn another_store(&self) -> Store {
        connect(&self.database).await
    }

    /// Stores a submission. Returns its first run.
    async fn submission(&self) -> RunKey {
        let new = new_submission("ana@example.org");
        let outcome = create(&self.store, &new, LARGE_LIMITS).await;
        assert_eq!(outcome, CreateOutcome::Created);
        RunKey { submission: new.id, number: 1 }
    }

    async fn remove(self) {
        drop(self.store);
        self.database.remove().await;
    }
}
