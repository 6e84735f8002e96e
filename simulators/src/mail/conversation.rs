//! The log of SMTP conversations, without message bodies and passwords.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::sync::{Bell, lock};

/// How many conversations are kept.
const KEEP: usize = 1000;
/// How many lines of each: a client may keep one connection open for days.
const KEEP_LINES: usize = 2000;

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The client.
    In,
    /// The server.
    Out,
    /// Nobody: a remark about what happened.
    Note,
}

/// One line of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Who said it.
    pub direction: Direction,
    /// What was said, without the line end.
    pub text: String,
}

/// One SMTP connection from beginning to end.
#[derive(Clone, Debug, Serialize)]
pub struct Conversation {
    /// Counts from 1.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// When the client connected.
    pub started_at: DateTime<Utc>,
    /// When the connection ended; `None` while it lasts.
    pub ended_at: Option<DateTime<Utc>>,
    /// What was said, in order.
    pub lines: Vec<Line>,
    /// Whether a message was stored.
    pub accepted: bool,
    /// How many messages were stored and confirmed with a 250. Fewer than `mails` means that the
    /// client cannot know.
    pub acknowledged: u32,
    /// The ids of the stored messages.
    pub mails: Vec<u64>,
}

/// All conversations, oldest first.
pub(super) struct Conversations {
    bell: Arc<Bell>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    count: u64,
    all: VecDeque<Conversation>,
}

impl Conversations {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { bell, inner: Mutex::default() }
    }

    pub(super) fn all(&self) -> Vec<Conversation> {
        lock(&self.inner).all.iter().cloned().collect()
    }

    /// Opens a conversation and returns its id.
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
        if inner.all.len() > KEEP {
            inner.all.pop_front();
        }
        drop(inner);
        self.bell.ring();
        id
    }

    pub(super) fn line(&self, id: u64, direction: Direction, text: impl Into<String>) {
        let line = Line { direction, text: text.into() };
        self.change(id, |talk| match talk.lines.len() {
            0..KEEP_LINES => talk.lines.push(line),
            KEEP_LINES => talk.lines.push(Line {
                direction: Direction::Note,
                text: "further lines are left out".to_owned(),
            }),
            _ => {}
        });
    }

    pub(super) fn stored(&self, id: u64, mail: u64) {
        self.change(id, |talk| {
            talk.accepted = true;
            talk.mails.push(mail);
        });
    }

    pub(super) fn acknowledged(&self, id: u64) {
        self.change(id, |talk| talk.acknowledged += 1);
    }

    pub(super) fn end(&self, id: u64) {
        self.change(id, |talk| talk.ended_at = Some(Utc::now()));
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Conversation)) {
        let mut inner = lock(&self.inner);
        if let Ok(index) = inner.all.binary_search_by_key(&id, |talk| talk.id) {
            change(&mut inner.all[index]);
        }
        drop(inner);
        self.bell.ring();
    }
}
