//! Runs an SMTP conversation: replies to commands and applies the script.

use std::{io, net::SocketAddr, ops::ControlFlow, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use tokio::net::TcpStream;

use super::{
    command::{Command, MailFrom},
    connection::{Body, Connection, Input},
    message::{self, Envelope},
    script::{Action, Step},
    settings::TlsMode,
    state::Shared,
    tls::Tls,
};

/// Whether the conversation continues after a step.
type Flow = io::Result<ControlFlow<()>>;

const CONTINUE: ControlFlow<()> = ControlFlow::Continue(());
const CLOSE: ControlFlow<()> = ControlFlow::Break(());

struct Session<'a> {
    shared: &'a Shared,
    connection: Connection<'a>,
    id: u64,
    greeted: bool,
    encrypted: bool,
    authenticated: bool,
    mail: Option<MailFrom>,
    recipients: Vec<String>,
}

/// Marks a conversation as ended when dropped, even if the task is cancelled.
struct EndOnDrop<'a>(&'a Shared, u64);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.conversations.end(self.1);
    }
}

pub(super) async fn run(tcp: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let id = shared.conversations.begin(peer);
    let _end = EndOnDrop(&shared, id);
    // `TCP_NODELAY` avoids delays: replies are small, and clients wait for each one.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut session = Session {
        connection: Connection::new(tcp, &shared.conversations, id),
        id,
        greeted: false,
        encrypted: false,
        authenticated: shared.settings.credentials().is_none(),
        mail: None,
        recipients: Vec::new(),
        shared: &shared,
    };
    if let Err(error) = session.run().await {
        session.connection.note(format!("the connection failed: {error}"));
    }
}

impl Session<'_> {
    async fn run(&mut self) -> io::Result<()> {
        if self.apply_script(Step::Connect, &[]).await?.is_some() {
            return Ok(());
        }
        if let Some(tls) = &self.shared.tls
            && tls.mode == TlsMode::Implicit
        {
            self.encrypt(tls).await?;
        }
        let greeting = format!("220 {} ESMTP mail catcher", self.shared.settings.hostname);
        self.connection.send(&greeting).await?;
        loop {
            let flow = match self.connection.read_command(without_secrets).await? {
                Input::Line(line) => match Command::parse(&line) {
                    Ok(command) => self.command(command).await?,
                    Err(reply) => self.reply(reply).await?,
                },
                Input::NotUtf8 => self.reply("500 5.5.2 Commands must be UTF-8").await?,
                Input::TooLong => {
                    self.connection.send("500 5.5.6 Line too long").await?;
                    CLOSE
                }
                Input::End => CLOSE,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    async fn command(&mut self, command: Command) -> Flow {
        if let Some(flow) = self.apply_script_to(&command).await? {
            return Ok(flow);
        }
        match command {
            Command::Ehlo => self.greet(true).await,
            Command::Helo => self.greet(false).await,
            Command::StartTls => self.start_tls().await,
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial).await,
            Command::Mail(mail) => self.mail(mail).await,
            Command::Rcpt(recipient) => self.rcpt(recipient).await,
            Command::Data => self.data().await,
            Command::Rset => {
                self.reset_transaction();
                self.reply("250 2.0.0 Reset").await
            }
            Command::Noop => self.reply("250 2.0.0 OK").await,
            Command::Vrfy => {
                self.reply("252 2.5.2 Cannot verify the address, but will accept mail").await
            }
            Command::Help => self.reply("214 2.0.0 See RFC 5321").await,
            Command::Quit => {
                self.connection.send("221 2.0.0 Goodbye").await?;
                Ok(CLOSE)
            }
        }
    }

    async fn greet(&mut self, extended: bool) -> Flow {
        self.greeted = true;
        self.reset_transaction();
        let settings = &self.shared.settings;
        if !extended {
            return self.reply(&format!("250 {}", settings.hostname)).await;
        }
        let mut lines = vec![
            settings.hostname.clone(),
            format!("SIZE {}", settings.max_message_bytes),
            "8BITMIME".to_owned(),
            "PIPELINING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        lines.extend(settings.smtputf8.then(|| "SMTPUTF8".to_owned()));
        if self.needs_tls() {
            lines.push("STARTTLS".to_owned());
        } else if settings.credentials().is_some() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        let last = lines.len() - 1;
        let numbered = lines.iter().enumerate().map(|(index, line)| {
            let mark = if index == last { ' ' } else { '-' };
            format!("250{mark}{line}")
        });
        self.reply(&numbered.collect::<Vec<_>>().join("\r\n")).await
    }

    /// Returns whether the client must start TLS before it can send mail.
    fn needs_tls(&self) -> bool {
        self.shared.tls.is_some() && !self.encrypted
    }

    async fn start_tls(&mut self) -> Flow {
        match &self.shared.tls {
            Some(tls) if !self.encrypted => {
                self.connection.send("220 2.0.0 Go ahead").await?;
                self.encrypt(tls).await?;
                self.greeted = false;
                self.reset_transaction();
                Ok(CONTINUE)
            }
            _ => self.reply("502 5.5.1 STARTTLS is not offered").await,
        }
    }

    async fn encrypt(&mut self, tls: &Tls) -> io::Result<()> {
        self.connection.encrypt(tls).await?;
        self.encrypted = true;
        Ok(())
    }

    async fn auth(&mut self, mechanism: &str, initial: Option<String>) -> Flow {
        let Some((user, password)) = self.shared.settings.credentials() else {
            return self.reply("502 5.5.1 AUTH is not offered").await;
        };
        if self.authenticated || !self.greeted || self.mail.is_some() || self.needs_tls() {
            return self.reply("503 5.5.1 Bad sequence of commands").await;
        }
        let sent = match mechanism {
            "PLAIN" => {
                self.read_credential(initial, "").await?.and_then(|it| parse_plain_credentials(&it))
            }
            "LOGIN" => {
                let user = self.read_credential(initial, "VXNlcm5hbWU6").await?;
                let password = match user {
                    Some(_) => self.read_credential(None, "UGFzc3dvcmQ6").await?,
                    None => None,
                };
                user.zip(password)
            }
            _ => return self.reply("504 5.5.4 Only PLAIN and LOGIN").await,
        };
        match sent {
            Some((name, secret)) if name == user && secret == password => {
                self.authenticated = true;
                self.reply("235 2.7.0 Authentication successful").await
            }
            Some(_) => self.reply("535 5.7.8 Wrong user name or password").await,
            None => self.reply("501 5.5.2 Invalid or cancelled").await,
        }
    }

    /// Reads and decodes a credential during AUTH. Returns `None` if the client cancels or sends invalid data.
    async fn read_credential(
        &mut self,
        given: Option<String>,
        prompt: &str,
    ) -> io::Result<Option<String>> {
        let line = match given {
            Some(given) => given,
            None => {
                self.connection.send(&format!("334 {prompt}")).await?;
                match self.connection.read_command(|_| "(credentials)".to_owned()).await? {
                    Input::Line(line) => line,
                    _ => return Ok(None),
                }
            }
        };
        let decoded = BASE64_STANDARD.decode(line.trim()).ok();
        Ok(decoded.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn mail(&mut self, mail: MailFrom) -> Flow {
        let limit = self.shared.settings.max_message_bytes;
        if !self.greeted {
            self.reply("503 5.5.1 EHLO first").await
        } else if self.needs_tls() {
            self.reply("530 5.7.0 STARTTLS first").await
        } else if !self.authenticated {
            self.reply("530 5.7.0 AUTH first").await
        } else if self.mail.is_some() {
            self.reply("503 5.5.1 MAIL was already sent").await
        } else if mail.size.is_some_and(|size| size > limit) {
            self.reply("552 5.3.4 Message too large").await
        } else if mail.utf8 && !self.shared.settings.smtputf8 {
            self.reply("555 5.5.4 Unknown parameter").await
        } else if !mail.utf8 && !mail.address.is_ascii() {
            self.reply("553 5.6.7 This address needs SMTPUTF8").await
        } else {
            self.mail = Some(mail);
            self.reply("250 2.1.0 Sender accepted").await
        }
    }

    async fn rcpt(&mut self, recipient: String) -> Flow {
        match &self.mail {
            None => self.reply("503 5.5.1 MAIL first").await,
            Some(mail) if !mail.utf8 && !recipient.is_ascii() => {
                self.reply("553 5.6.7 This address needs SMTPUTF8").await
            }
            Some(_) => {
                self.recipients.push(recipient);
                self.reply("250 2.1.5 Recipient accepted").await
            }
        }
    }

    async fn data(&mut self) -> Flow {
        if self.recipients.is_empty() {
            return self.reply("503 5.5.1 RCPT first").await;
        }
        self.connection.send("354 End the message with a line that contains only a dot").await?;
        let limit = self.shared.settings.max_message_bytes;
        match self.connection.read_message(limit).await? {
            Body::Message(message) => self.body(message).await,
            Body::TooLarge => {
                self.reset_transaction();
                self.reply("552 5.3.4 Message too large").await
            }
            Body::End => Ok(CLOSE),
        }
    }

    /// Stores the message, or performs the action required by the script.
    async fn body(&mut self, message: Vec<u8>) -> Flow {
        // The Message-ID is logged even if the message is rejected so that attempts can be compared.
        if let Some(id) = message::message_id(&message) {
            self.connection.note(format!("Message-ID: {id}"));
        }
        let envelope = Envelope {
            from: self.mail.take().unwrap_or_default().address,
            to: std::mem::take(&mut self.recipients),
            received_at: Utc::now(),
        };
        let action = self.shared.script.next(Step::Body, &envelope.to);
        let unacknowledged = match action {
            Some(Action::DropAfterAccept | Action::StallAfterAccept) => action,
            Some(action) => return self.perform(Step::Body, action).await,
            None => None,
        };
        let mail = match self.shared.inbox.store(envelope, message).await {
            Ok(mail) => mail,
            Err(error) => {
                tracing::error!(%error, "cannot store a message");
                return self.reply("451 4.3.0 Cannot store the message").await;
            }
        };
        self.shared.conversations.add_mail(self.id, mail.id);
        match unacknowledged {
            Some(action) => self.perform(Step::Body, action).await,
            None => {
                let flow = self.reply(&format!("250 2.0.0 Stored as {}", mail.id)).await?;
                self.shared.conversations.acknowledge(self.id);
                Ok(flow)
            }
        }
    }

    async fn apply_script_to(&mut self, command: &Command) -> io::Result<Option<ControlFlow<()>>> {
        let (step, recipients) = match command {
            Command::Ehlo | Command::Helo => (Step::Ehlo, Vec::new()),
            Command::Auth { .. } => (Step::Auth, Vec::new()),
            Command::Mail(_) => (Step::Mail, Vec::new()),
            Command::Rcpt(recipient) => (Step::Rcpt, vec![recipient.clone()]),
            Command::Data => (Step::Data, self.recipients.clone()),
            _ => return Ok(None),
        };
        self.apply_script(step, &recipients).await
    }

    /// Applies the script to a step. Returns `None` if no rule matches.
    async fn apply_script(
        &mut self,
        step: Step,
        recipients: &[String],
    ) -> io::Result<Option<ControlFlow<()>>> {
        match self.shared.script.next(step, recipients) {
            Some(action) => self.perform(step, action).await.map(Some),
            None => Ok(None),
        }
    }

    async fn perform(&mut self, step: Step, action: Action) -> Flow {
        self.connection.note(format!("script at {step:?}: {action:?}"));
        match action {
            Action::Reply { code, text } => {
                self.connection.send(&format!("{code} {text}")).await?;
                Ok(if code == 421 || step == Step::Connect { CLOSE } else { CONTINUE })
            }
            Action::Drop | Action::DropAfterAccept => Ok(CLOSE),
            Action::Stall | Action::StallAfterAccept => {
                self.connection.stall().await?;
                Ok(CLOSE)
            }
        }
    }

    async fn reply(&mut self, reply: &str) -> Flow {
        self.connection.send(reply).await?;
        Ok(CONTINUE)
    }

    fn reset_transaction(&mut self) {
        self.mail = None;
        self.recipients.clear();
    }
}

/// Parses AUTH PLAIN credentials: `authorization NUL user NUL password`.
fn parse_plain_credentials(decoded: &str) -> Option<(String, String)> {
    let mut parts = decoded.split('\0').skip(1);
    let credentials = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(credentials)
}

fn without_secrets(line: &str) -> String {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), Some(_)) if verb.eq_ignore_ascii_case("AUTH") => {
            format!("{verb} {mechanism} (credentials)")
        }
        _ => line.to_owned(),
    }
}
