//! The mail catcher's state.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    conversation::Conversations, inbox::Inbox, script::ScriptState, settings::Settings, tls::Tls,
};
use crate::sync::ChangeNotifier;

/// State shared by conversations, pages and the [`MailCatcher`](super::MailCatcher).
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) inbox: Inbox,
    pub(super) conversations: Conversations,
    pub(super) script: ScriptState,
    pub(super) tls: Option<Tls>,
    pub(super) changes: Arc<ChangeNotifier>,
    pub(super) stop: CancellationToken,
}
