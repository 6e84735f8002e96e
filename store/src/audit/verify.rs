//! Verifies the audit log: reads every entry and checks its seal.

use crate::audit::entry::AuditEntry;
use crate::audit::log::HEAD_ROW;
use crate::audit::seal::AuditKey;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::{audit, audit_head};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::fmt;

const BATCH_SIZE: i64 = 1000;
const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An entry's number and hash, which operators store outside the database. If the log still contains the entry, no
/// earlier entry has been changed, even by someone who knows the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheckpoint {
    pub number: i64,
    pub hash: String,
}

impl fmt::Display for AuditCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl std::str::FromStr for AuditCheckpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || {
            format!(
                "{text:?} is not a checkpoint: enter a number and 64 hexadecimal digits, as in 42:9f86d081…"
            )
        };
        let (number, hash) = text.split_once(':').ok_or_else(invalid)?;
        let number = number.parse().map_err(|_| invalid())?;
        let hexadecimal =
            hash.len() == GENESIS_HASH.len() && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if hexadecimal { Ok(Self { number, hash: hash.to_owned() }) } else { Err(invalid()) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFault {
    Removed(i64, i64),
    /// The entry's seal does not match its content.
    Changed(i64),
    /// Some entries cannot be verified because the key with this id is not known. There may be other entries between
    /// the first and the last of these.
    UnknownKey {
        key_id: String,
        entries: i64,
        first: i64,
        last: i64,
    },
    /// The entry does not follow the previous entry because one of the two was inserted or replaced.
    Unlinked(i64),
    Inserted(i64),
    /// The last entry differs from `audit_head` because entries at the end were removed or inserted.
    HeadMismatch {
        expected: AuditCheckpoint,
        found: AuditCheckpoint,
    },
    CheckpointMismatch(AuditCheckpoint),
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(first, last) if first == last => write!(f, "entry {first} was removed"),
            Self::Removed(first, last) => write!(f, "entries {first} to {last} were removed"),
            Self::Changed(number) => {
                write!(f, "entry {number} was changed")
            }
            // Someone with write access to the database can store any text as the key id, so it is escaped.
            Self::UnknownKey { key_id, first, last, .. } if first == last => {
                write!(f, "entry {first} was sealed with the missing key {key_id:?}")
            }
            Self::UnknownKey { key_id, entries, first, last } => write!(
                f,
                "{entries} of the entries {first} to {last} were sealed with the missing key {key_id:?}"
            ),
            Self::Unlinked(number) => {
                write!(
                    f,
                    "entry {number} does not follow the entry before it: one of the two was replaced"
                )
            }
            Self::Inserted(number) => {
                write!(f, "entry {number} was inserted: numbers start at 1")
            }
            Self::HeadMismatch { expected, found } => write!(
                f,
                "the last entry is number {}, but it should be number {}: entries were removed or inserted at the end",
                found.number, expected.number
            ),
            Self::CheckpointMismatch(checkpoint) => {
                write!(f, "entry {} does not match the checkpoint", checkpoint.number)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerification {
    pub entries: i64,
    /// The last entry, to be used as the checkpoint for the next verification.
    pub end: AuditCheckpoint,
    pub faults: Vec<AuditFault>,
}

impl Store {
    pub async fn verify_audit(
        &self,
        key: &AuditKey,
        checkpoint: Option<&AuditCheckpoint>,
    ) -> StoreResult<AuditVerification> {
        // Reads the head first so that entries appended during the verification come after it.
        let head = self.audit_head().await?;
        let mut verifier = Verifier::new(key, checkpoint);
        let mut from = Some(i64::MIN);
        while let Some(first) = from {
            let entries = self.read_entries(first, head.number).await?;
            for entry in &entries {
                verifier.entry(entry);
            }
            from = entries.last().and_then(|last| last.number.checked_add(1));
        }
        Ok(verifier.finish(head, self.entry_beyond_head().await?))
    }

    pub async fn audit_head(&self) -> StoreResult<AuditCheckpoint> {
        let mut connection = self.connection().await?;
        let (number, hash) = audit_head::table
            .find(HEAD_ROW)
            .select((audit_head::number, audit_head::hash))
            .first(&mut connection)
            .await?;
        Ok(AuditCheckpoint { number, hash })
    }

    async fn read_entries(&self, first: i64, last: i64) -> StoreResult<Vec<AuditEntry>> {
        let mut connection = self.connection().await?;
        let entries = audit::table
            .filter(audit::number.between(first, last))
            .order(audit::number)
            .limit(BATCH_SIZE)
            .select(AuditEntry::as_select())
            .load(&mut connection)
            .await?;
        Ok(entries)
    }

    /// Reads the head and the last entry in one statement. With two statements, an entry appended between them would be
    /// reported as a fault.
    async fn entry_beyond_head(&self) -> StoreResult<Option<AuditFault>> {
        let mut connection = self.connection().await?;
        let found: Option<(i64, String, i64, String)> = audit_head::table
            .inner_join(audit::table.on(audit::number.gt(audit_head::number)))
            .filter(audit_head::id.eq(HEAD_ROW))
            .order(audit::number.desc())
            .select((audit_head::number, audit_head::hash, audit::number, audit::hash))
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found.map(|(expected, expected_hash, found, hash)| AuditFault::HeadMismatch {
            expected: AuditCheckpoint { number: expected, hash: expected_hash },
            found: AuditCheckpoint { number: found, hash },
        }))
    }
}

struct Verifier<'a> {
    key: &'a AuditKey,
    checkpoint: Option<&'a AuditCheckpoint>,
    entries: i64,
    end: AuditCheckpoint,
    faults: Vec<AuditFault>,
}

impl<'a> Verifier<'a> {
    fn new(key: &'a AuditKey, checkpoint: Option<&'a AuditCheckpoint>) -> Self {
        let end = AuditCheckpoint { number: 0, hash: GENESIS_HASH.to_owned() };
        Self { key, checkpoint, entries: 0, end, faults: Vec::new() }
    }

    fn entry(&mut self, entry: &AuditEntry) {
        if entry.number < 1 {
            self.faults.push(AuditFault::Inserted(entry.number));
            return;
        }
        let expected = self.end.number + 1;
        if entry.number > expected {
            self.faults.push(AuditFault::Removed(expected, entry.number - 1));
        } else if entry.previous != self.end.hash {
            self.faults.push(AuditFault::Unlinked(entry.number));
        }
        match self.key.verifies(entry) {
            Some(true) => {}
            Some(false) => self.faults.push(AuditFault::Changed(entry.number)),
            None => self.unknown_key(entry),
        }
        if let Some(checkpoint) =
            self.checkpoint.filter(|checkpoint| checkpoint.number == entry.number)
            && checkpoint.hash != entry.hash
        {
            self.faults.push(AuditFault::CheckpointMismatch(checkpoint.clone()));
        }
        self.entries += 1;
        self.end = AuditCheckpoint { number: entry.number, hash: entry.hash.clone() };
    }

    /// Reports only one fault per key because a key may have sealed millions of entries.
    fn unknown_key(&mut self, entry: &AuditEntry) {
        for fault in &mut self.faults {
            match fault {
                AuditFault::UnknownKey { key_id, entries, last, .. } if *key_id == entry.key_id => {
                    *entries += 1;
                    *last = entry.number;
                    return;
                }
                _ => {}
            }
        }
        self.faults.push(AuditFault::UnknownKey {
            key_id: entry.key_id.clone(),
            entries: 1,
            first: entry.number,
            last: entry.number,
        });
    }

    fn finish(
        mut self,
        head: AuditCheckpoint,
        fault_beyond: Option<AuditFault>,
    ) -> AuditVerification {
        if self.end != head {
            let found = self.end.clone();
            self.faults.push(AuditFault::HeadMismatch { expected: head, found });
        }
        self.faults.extend(fault_beyond);
        if let Some(checkpoint) =
            self.checkpoint.filter(|checkpoint| checkpoint.number > self.end.number)
        {
            self.faults.push(AuditFault::CheckpointMismatch(checkpoint.clone()));
        }
        AuditVerification { entries: self.entries, end: self.end, faults: self.faults }
    }
}
