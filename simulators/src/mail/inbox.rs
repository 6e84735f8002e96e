//! Stores accepted messages in memory and, if configured, in a spool folder.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde::Deserialize;

use super::{
    message::{Envelope, Mail},
    script::same_address,
    spool::Spool,
};
use crate::sync::{ChangeNotifier, lock};

pub(super) struct Inbox {
    capacity: usize,
    spool: Option<Spool>,
    changes: Arc<ChangeNotifier>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    mails: BTreeMap<u64, Arc<Mail>>,
}

impl Inbox {
    pub(super) async fn open(
        capacity: usize,
        folder: Option<PathBuf>,
        changes: Arc<ChangeNotifier>,
    ) -> io::Result<Self> {
        let mut inner = Inner::default();
        let mut spool = None;
        if let Some(folder) = folder {
            let (opened, mails) = blocking(|| Spool::open(folder)).await?;
            spool = Some(opened);
            inner.last_id = mails.last().map_or(0, |mail| mail.id);
            inner.mails = mails.into_iter().map(|it| (it.id, Arc::new(it))).collect();
        }
        Ok(Self { capacity: capacity.max(1), spool, changes, inner: Mutex::new(inner) })
    }

    /// Stores a message. The server must not reply with 250 until this function has returned.
    pub(super) async fn store(&self, envelope: Envelope, raw: Vec<u8>) -> io::Result<Arc<Mail>> {
        let id = {
            let mut inner = lock(&self.inner);
            inner.last_id += 1;
            inner.last_id
        };
        let spool = self.spool.clone();
        let mail = blocking(move || {
            if let Some(spool) = spool {
                spool.write(id, &envelope, &raw)?;
            }
            Ok(Arc::new(Mail::read(id, envelope, raw)))
        })
        .await?;
        let old = {
            let mut inner = lock(&self.inner);
            inner.mails.insert(id, mail.clone());
            let surplus = inner.mails.len().saturating_sub(self.capacity);
            let old: Vec<u64> = inner.mails.keys().take(surplus).copied().collect();
            for id in &old {
                inner.mails.remove(id);
            }
            old
        };
        self.changes.notify();
        if let Err(error) = self.remove_files(old).await {
            tracing::warn!(%error, "cannot delete old messages from the spool");
        }
        Ok(mail)
    }

    pub(super) fn all(&self) -> Vec<Arc<Mail>> {
        lock(&self.inner).mails.values().cloned().collect()
    }

    pub(super) fn addressed_to(&self, recipient: &str) -> Vec<Arc<Mail>> {
        let mut mails = self.all();
        mails.retain(|mail| mail.to.iter().any(|it| same_address(it, recipient)));
        mails
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Mail>> {
        lock(&self.inner).mails.get(&id).cloned()
    }

    /// Deletes all messages. Their ids are not reused while the mail catcher is running.
    pub(super) async fn clear(&self) -> io::Result<()> {
        let mails = std::mem::take(&mut lock(&self.inner).mails);
        self.changes.notify();
        self.remove_files(mails.into_keys().collect()).await
    }

    async fn remove_files(&self, ids: Vec<u64>) -> io::Result<()> {
        match self.spool.clone() {
            Some(spool) if !ids.is_empty() => {
                blocking(move || ids.into_iter().try_for_each(|id| spool.remove(id))).await
            }
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Filter {
    /// Recipient whose messages are listed. If empty or absent, all messages are listed.
    pub(super) to: Option<String>,
}

impl Filter {
    pub(super) fn select(&self, inbox: &Inbox) -> Vec<Arc<Mail>> {
        match self.to.as_deref().map(str::trim) {
            None | Some("") => inbox.all(),
            Some(recipient) => inbox.addressed_to(recipient),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}
