//! A mail catcher: an SMTP server that delivers nothing and shows everything.
//!
//! It holds a real ESMTP conversation, with TLS if it is given a certificate, keeps each message as received, shows an inbox to
//! browsers and answers tests over HTTP or in process. With a spool folder the mails survive a
//! restart: one `.eml` file each.
//!
//! # Inbox
//!
//! | request | |
//! |---|---|
//! | `GET /`, `GET /mail/{n}` | the inbox for people; `?to=` filters |
//! | `GET /api/mails[?to=]` | `{"mails": [Mail …]}`, oldest first: [`Mail`] |
//! | `GET /api/mails/{n}`, `GET /api/mails/{n}/raw` | one mail; its bytes as received |
//! | `DELETE /api/mails` | forgets all mails, on disk too |
//! | `GET /api/conversations`, `GET /conversations` | what was said: [`Conversation`] |
//! | `GET`, `PUT /api/script` | the misbehaviour to play: [`Script`] |
//! | `GET /health` | for machines |
//!
//! # Misbehaviour
//!
//! A [`Script`] is a list of [`Rule`]s. At each [`Step`] of a conversation the first rule that fits
//! and is not used up strikes:
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

/// After a failed accept, e.g. for want of file handles, the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A running mail catcher. Dropping it stops it without waiting.
pub struct MailCatcher {
    smtp_address: SocketAddr,
    smtp: JoinHandle<()>,
    http: HttpServer,
    shared: Arc<Shared>,
}

impl MailCatcher {
    /// Starts a catcher: mail comes in at `smtp`, the inbox is shown at `http`; port 0 picks a free
    /// one. Mails of an earlier run are read from the spool folder, which is made if missing.
    ///
    /// # Errors
    /// When an address cannot be listened on, or the spool folder or the certificate cannot be read.
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

    /// Runs until `stop` is ready, then shuts down: the form that a command line wants.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Stops listening and breaks off every conversation.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        if let Err(error) = self.smtp.await {
            tracing::error!(%error, "the SMTP server ended badly");
        }
        self.http.shutdown().await;
    }

    /// Where SMTP is spoken.
    pub fn smtp_address(&self) -> SocketAddr {
        self.smtp_address
    }

    /// Where the inbox is shown.
    pub fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The inbox's base address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.http_address())
    }

    /// Every mail accepted so far, oldest first (up to [`Settings::capacity`]).
    pub fn mails(&self) -> Vec<Arc<Mail>> {
        self.shared.inbox.all()
    }

    /// The mails for one recipient (of the envelope, whatever the case of its letters).
    pub fn mails_to(&self, recipient: &str) -> Vec<Arc<Mail>> {
        self.shared.inbox.addressed_to(recipient)
    }

    /// Every conversation so far, oldest first (up to 1000).
    pub fn conversations(&self) -> Vec<Conversation> {
        self.shared.conversations.all()
    }

    /// The script being played.
    pub fn script(&self) -> Script {
        self.shared.script.script()
    }

    /// Plays these rules from now on, with their counts at zero. No rules: all goes well.
    ///
    /// # Errors
    /// [`InvalidRule`] when a rule can never do what it says; the old script then stays.
    pub fn set_script(&self, rules: impl IntoIterator<Item = Rule>) -> Result<(), InvalidRule> {
        let script = Script::new(rules.into_iter().collect())?;
        self.shared.script.set(script);
        Ok(())
    }

    /// Forgets all mails, on disk too.
    ///
    /// # Errors
    /// When a spooled mail cannot be removed.
    pub async fn clear(&self) -> io::Result<()> {
        self.shared.inbox.clear().await
    }

    /// Waits until there is a mail that `wanted` accepts, and returns the oldest such mail.
    ///
    /// # Errors
    /// [`WaitTimeout`] after `limit`, naming the mails there are.
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&Mail) -> bool,
        limit: Duration,
    ) -> Result<Arc<Mail>, WaitTimeout> {
        let find = |mails: &Vec<Arc<Mail>>| mails.iter().find(|mail| wanted(mail)).cloned();
        self.shared.changes.wait_for(limit, || self.mails(), find).await
    }

    /// Waits until `find` finds something in the conversations, e.g. that one was refused.
    ///
    /// # Errors
    /// [`WaitTimeout`] after `limit`, naming the conversations there are.
    pub async fn wait_for_conversation<T>(
        &self,
        mut find: impl FnMut(&[Conversation]) -> Option<T>,
        limit: Duration,
    ) -> Result<T, WaitTimeout> {
        self.shared.changes.wait_for(limit, || self.conversations(), |all| find(all)).await
    }
}

/// Takes SMTP connections until told to stop, then waits for their conversations to break off.
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
    // Refuse new connections at once, not only when the last conversation has ended.
    drop(listener);
    sessions.close();
    sessions.wait().await;
}
