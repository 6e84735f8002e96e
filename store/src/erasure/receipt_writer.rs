//! Signs an erasure's receipt and writes it to the erasure log once, even if the transaction is retried.

use crate::db::error::{StoreError, StoreResult};
use crate::erasure::log::{ErasureLog, LogTurn};
use crate::erasure::receipt::{ErasureContent, ErasureReceipt, ReceiptKey};
use diesel::result::Error::RollbackTransaction;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct ReceiptWriter<'a> {
    key: &'a ReceiptKey,
    turn: Option<LogTurn>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: Option<ErasureReceipt>,
    error: Option<io::Error>,
}

impl<'a> ReceiptWriter<'a> {
    /// Waits for a turn if there is a log. Call this before using a database connection.
    pub(super) async fn begin(key: &'a ReceiptKey, log: Option<&ErasureLog>) -> io::Result<Self> {
        let turn = match log {
            Some(log) => Some(log.turn().await?),
            None => None,
        };
        Ok(Self { key, turn, state: Mutex::default() })
    }

    /// Returns the signed receipt once it is in the log. If an earlier attempt of the transaction removed the same
    /// data, returns the receipt of that attempt. If the log cannot be written, the transaction must be rolled back,
    /// and [`Self::into_error`] returns the cause.
    pub(super) async fn write(&self, content: ErasureContent) -> StoreResult<ErasureReceipt> {
        if let Some(written) = self.written(&content) {
            return Ok(written);
        }
        let receipt = self.key.sign(content);
        if let Some(turn) = &self.turn
            && let Err(error) = turn.append(&receipt).await
        {
            self.state().error = Some(error);
            return Err(StoreError::Database(RollbackTransaction));
        }
        self.state().written = Some(receipt.clone());
        Ok(receipt)
    }

    pub(super) fn into_error(self) -> Option<io::Error> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).error
    }

    /// Returns the receipt of an earlier attempt if it differs from `content` only in its time.
    fn written(&self, content: &ErasureContent) -> Option<ErasureReceipt> {
        let written = self.state().written.clone()?;
        let erased_at = written.content.erased_at.clone();
        let is_same = ErasureContent { erased_at, ..content.clone() } == written.content;
        is_same.then_some(written)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
