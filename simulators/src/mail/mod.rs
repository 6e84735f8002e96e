//! The mail catcher, an SMTP server that stores every message and forwards none.
//!
//! The mail catcher supports ESMTP, TLS and authentication. It displays messages in a web inbox, and tests can read
//! them over HTTP or in the same process. If a spool folder is configured, each message is stored as an `.eml` file and
//! survives a restart.
//!
//! # Inbox
//!
//! | request | |
//! |---|---|
//! | `GET /`, `GET /mail/{n}` | the inbox pages; `?to=` filters by recipient |
//! | `GET /api/mails[?to=]` | `{"mails": [Mail …]}`, oldest first: [`Mail`] |
//! | `GET /api/mails/{n}`, `GET /api/mails/{n}/raw` | one message; its bytes as received |
//! | `DELETE /api/mails` | deletes all messages, in the spool folder too |
//! | `GET /api/conversations`, `GET /conversations` | the SMTP conversations: [`Conversation`] |
//! | `GET`, `PUT /api/script` | the faults to inject: [`Script`] |
//! | `GET /health` | health check |
//!
//! # Faults
//!
//! A [`Script`] is a list of [`Rule`]s. At each [`Step`] of a conversation, the server applies the first matching rule
//! whose limit (`times`) has not been reached:
//!
//! ```json
//! {"rules": [
//!   {"step": "rcpt", "action": {"reply": {"code": 451, "text": "4.7.1 Try later"}},
//!    "times": 1, "per_recipient": true},
//!   {"step": "body", "action": "drop_after_accept", "times": 1, "recipient": "jo@example.org"}
//! ]}
//! ```

mod command;
mod connection;
mod conversation;
mod inbox;
mod message;
mod pages;
mod routes;
mod script;
mod session;
mod settings;
mod spool;
mod state;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use conversation::{Conversation, Direction, Line};
pub use message::{Attachment, Header, Mail};
pub use script::{Action, InvalidRule, Rule, Script, Step};
pub use settings::{Settings, TlsMode, TlsSettings};

use crate::{
    http::HttpServer,
    sync::{ChangeNotifier, WaitTimeout},
};
use conversation::Conversations;
use inbox::Inbox;
use script::ScriptState;
use state::Shared;
use tls::Tls;

/// Delay after a failure to accept a connection, for example because no file descriptors are available.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A running mail catcher. Dropping it stops the mail catcher without waiting for open connections.
pub struct MailCatcher {
    smtp_address: SocketAddr,
    smtp: JoinHandle<()>,
    http: HttpServer,
    shared: Arc<Shared>,
}

impl MailCatcher {
    /// Starts a mail catcher that serves SMTP on `smtp` and the inbox on `http`. If a port is 0, a free port is chosen.
    /// Creates the spool folder if it is missing, and loads its messages.
    pub async fn start(smtp: SocketAddr, http: SocketAddr, settings: Settings) -> io::Result<Self> {
        let changes = Arc::new(ChangeNotifier::new());
        let shared = Arc::new(Shared {
            inbox: Inbox::open(settings.capacity, settings.spool.clone(), changes.clone()).await?,
            conversations: Conversations::new(changes.clone()),
            script: ScriptState::new(settings.script.clone()),
            tls: settings.tls.as_ref().map(Tls::open).transpose()?,
            stop: CancellationToken::new(),
            changes,
            settings,
        });
        let listener = TcpListener::bind(smtp).await?;
        let smtp_address = listener.local_addr()?;
        let router = routes::routes().merge(pages::routes()).with_state(shared.clone());
        let http = HttpServer::start(http, router, shared.stop.clone()).await?;
        let smtp = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { smtp_address, smtp, http, shared })
    }

    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        if let Err(error) = self.smtp.await {
            tracing::error!(%error, "the SMTP server failed");
        }
        self.http.shutdown().await;
    }

    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp_address
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The base URL of the inbox, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.http_address())
    }

    /// Returns all accepted messages, oldest first (up to [`Settings::capacity`]).
    pub fn mails(&self) -> Vec<Arc<Mail>> {
        self.shared.inbox.all()
    }

    /// Returns the messages sent to an envelope recipient, ignoring case.
    pub fn mails_to(&self, recipient: &str) -> Vec<Arc<Mail>> {
        self.shared.inbox.addressed_to(recipient)
    }

    /// Returns all conversations, oldest first (up to 1000).
    pub fn conversations(&self) -> Vec<Conversation> {
        self.shared.conversations.all()
    }

    pub fn script(&self) -> Script {
        self.shared.script.script()
    }

    /// Replaces the script and resets its counts. If there are no rules, the server behaves normally. If a rule is
    /// invalid, the current script remains active.
    pub fn set_script(&self, rules: impl IntoIterator<Item = Rule>) -> Result<(), InvalidRule> {
        let script = Script::new(rules.into_iter().collect())?;
        self.shared.script.set(script);
        Ok(())
    }

    pub async fn clear(&self) -> io::Result<()> {
        self.shared.inbox.clear().await
    }

    /// Waits for a message that `wanted` accepts, and returns the oldest one.
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&Mail) -> bool,
        limit: Duration,
    ) -> Result<Arc<Mail>, WaitTimeout> {
        let find = |mails: &Vec<Arc<Mail>>| mails.iter().find(|mail| wanted(mail)).cloned();
        self.shared.changes.wait_for(limit, || self.mails(), find).await
    }

    /// Waits until `find` returns a value when called with the list of conversations.
    pub async fn wait_for_conversation<T>(
        &self,
        mut find: impl FnMut(&[Conversation]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.shared.changes.wait_for(limit, || self.conversations(), |all| find(all)).await
    }
}

/// Accepts SMTP connections until the mail catcher stops, and then waits for their conversations to end.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let sessions = TaskTracker::new();
    while let Some(accepted) = shared.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((tcp, peer)) => {
                let session = session::run(tcp, peer, shared.clone());
                sessions.spawn(shared.stop.clone().run_until_cancelled_owned(session));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an SMTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // The listener is closed first so that new connections are refused while the last conversations end.
    drop(listener);
    sessions.close();
    sessions.wait().await;
}
