//! The log of SMTP conversations, which contains neither message bodies nor passwords.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::sync::{ChangeNotifier, lock};

const MAX_CONVERSATIONS: usize = 1000;
/// Maximum number of logged lines per conversation, since a client may stay connected for days.
const MAX_LINES: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    In,
    Out,
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub direction: Direction,
    pub text: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    pub id: u64,
    pub peer: SocketAddr,
    pub started_at: DateTime<Utc>,
    /// Time at which the connection ended, or `None` while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    pub lines: Vec<Line>,
    /// Whether a message was stored.
    pub accepted: bool,
    /// Number of messages stored and acknowledged with a 250 reply.
    pub acknowledged: u32,
    /// Ids of the stored messages.
    pub mails: Vec<u64>,
}

pub(super) struct Conversations {
    changes: Arc<ChangeNotifier>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    count: u64,
    all: VecDeque<Conversation>,
}

impl Conversations {
    pub(super) fn new(changes: Arc<ChangeNotifier>) -> Self {
        Self { changes, inner: Mutex::default() }
    }

    pub(super) fn all(&self) -> Vec<Conversation> {
        lock(&self.inner).all.iter().cloned().collect()
    }

    pub(super) fn begin(&self, peer: SocketAddr) -> u64 {
        let mut inner = lock(&self.inner);
        inner.count += 1;
        let id = inner.count;
        inner.all.push_back(Conversation {
            id,
            peer,
            started_at: Utc::now(),
            ended_at: None,
            lines: Vec::new(),
            accepted: false,
            acknowledged: 0,
            mails: Vec::new(),
        });
        if inner.all.len() > MAX_CONVERSATIONS {
            inner.all.pop_front();
        }
        drop(inner);
        self.changes.notify();
        id
    }

    pub(super) fn add_line(&self, id: u64, direction: Direction, text: impl Into<String>) {
        let line = Line { direction, text: text.into() };
        self.change(id, |conversation| match conversation.lines.len() {
            0..MAX_LINES => conversation.lines.push(line),
            MAX_LINES => conversation.lines.push(Line {
                direction: Direction::Note,
                text: "further lines are not logged".to_owned(),
            }),
            _ => {}
        });
    }

    pub(super) fn add_mail(&self, id: u64, mail: u64) {
        self.change(id, |conversation| {
            conversation.accepted = true;
            conversation.mails.push(mail);
        });
    }

    pub(super) fn acknowledge(&self, id: u64) {
        self.change(id, |conversation| conversation.acknowledged += 1);
    }

    pub(super) fn end(&self, id: u64) {
        self.change(id, |conversation| conversation.ended_at = Some(Utc::now()));
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Conversation)) {
        let mut inner = lock(&self.inner);
        if let Ok(index) = inner.all.binary_search_by_key(&id, |conversation| conversation.id) {
            change(&mut inner.all[index]);
        }
        drop(inner);
        self.changes.notify();
    }
}
