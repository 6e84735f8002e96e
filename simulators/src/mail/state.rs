//! The state of a mail catcher.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    conversation::Conversations, inbox::Inbox, script::Player, settings::Settings, tls::Tls,
};
use crate::sync::Bell;

/// What conversations, pages and the owner share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) inbox: Inbox,
    pub(super) conversations: Conversations,
    pub(super) script: Player,
    pub(super) tls: Option<Tls>,
    pub(super) bell: Arc<Bell>,
    pub(super) stop: CancellationToken,
}
