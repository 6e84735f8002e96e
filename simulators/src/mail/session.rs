//! One SMTP conversation: which command is answered how, and where the script interferes.

use std::{io, net::SocketAddr, ops::ControlFlow, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use tokio::net::TcpStream;

use super::{
    command::{Command, MailFrom},
    message::{self, Envelope},
    script::{Action, Step},
    settings::TlsMode,
    state::Shared,
    tls::Tls,
    wire::{Body, Input, Wire},
};

/// Whether the conversation goes on after a step.
type Flow = io::Result<ControlFlow<()>>;

const ON: ControlFlow<()> = ControlFlow::Continue(());
const CLOSE: ControlFlow<()> = ControlFlow::Break(());

/// What the script has to say about a step.
enum Verdict {
    Proceed,
    /// The script has answered in the server's place.
    Answered,
    Close,
}

struct Session<'a> {
    shared: &'a Shared,
    wire: Wire<'a>,
    id: u64,
    greeted: bool,
    encrypted: bool,
    signed_in: bool,
    mail: Option<MailFrom>,
    recipients: Vec<String>,
}

/// Marks the end of a conversation, however it ends: also when it is broken off.
struct Ending<'a>(&'a Shared, u64);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.conversations.end(self.1);
    }
}

/// Holds one conversation to its end.
pub(super) async fn talk(tcp: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let id = shared.conversations.begin(peer);
    let _ending = Ending(&shared, id);
    // Replies are small and awaited: never wait for more to send.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut session = Session {
        wire: Wire::new(tcp, &shared.conversations, id),
        id,
        greeted: false,
        encrypted: false,
        signed_in: shared.settings.credentials().is_none(),
        mail: None,
        recipients: Vec::new(),
        shared: &shared,
    };
    if let Err(error) = session.run().await {
        session.wire.note(format!("the connection failed: {error}"));
    }
}

impl Session<'_> {
    async fn run(&mut self) -> io::Result<()> {
        if !matches!(self.script(Step::Connect, &[]).await?, Verdict::Proceed) {
            return Ok(());
        }
        if let Some(tls) = &self.shared.tls
            && tls.mode == TlsMode::Implicit
        {
            self.encrypt(tls).await?;
        }
        let greeting = format!("220 {} ESMTP mail catcher", self.shared.settings.hostname);
        self.wire.say(&greeting).await?;
        loop {
            let flow = match self.wire.hear(without_secrets).await? {
                Input::Line(line) => match Command::parse(&line) {
                    Ok(command) => self.command(command).await?,
                    Err(complaint) => self.reply(complaint).await?,
                },
                Input::NotUtf8 => self.reply("500 5.5.2 Commands must be UTF-8").await?,
                Input::TooLong => {
                    self.wire.say("500 5.5.6 Line too long").await?;
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
        match command {
            Command::Ehlo => self.greet(true).await,
            Command::Helo => self.greet(false).await,
            Command::StartTls => self.start_tls().await,
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial).await,
            Command::Mail(mail) => self.mail(mail).await,
            Command::Rcpt(recipient) => self.rcpt(recipient).await,
            Command::Data => self.data().await,
            Command::Rset => {
                self.forget_mail();
                self.reply("250 2.0.0 Forgotten").await
            }
            Command::Noop => self.reply("250 2.0.0 Fine").await,
            Command::Vrfy => self.reply("252 2.5.2 Send some mail and see").await,
            Command::Help => self.reply("214 2.0.0 See RFC 5321").await,
            Command::Quit => {
                self.wire.say("221 2.0.0 Goodbye").await?;
                Ok(CLOSE)
            }
        }
    }

    async fn greet(&mut self, extended: bool) -> Flow {
        match self.script(Step::Ehlo, &[]).await? {
            Verdict::Proceed => {}
            Verdict::Answered => return Ok(ON),
            Verdict::Close => return Ok(CLOSE),
        }
        self.greeted = true;
        self.forget_mail();
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

    /// Whether TLS must begin before there can be mail.
    fn needs_tls(&self) -> bool {
        self.shared.tls.is_some() && !self.encrypted
    }

    async fn start_tls(&mut self) -> Flow {
        match &self.shared.tls {
            Some(tls) if !self.encrypted => {
                self.wire.say("220 2.0.0 Go ahead").await?;
                self.encrypt(tls).await?;
                self.greeted = false;
                self.forget_mail();
                Ok(ON)
            }
            _ => self.reply("502 5.5.1 STARTTLS is not offered").await,
        }
    }

    async fn encrypt(&mut self, tls: &Tls) -> io::Result<()> {
        self.wire.encrypt(tls).await?;
        self.encrypted = true;
        Ok(())
    }

    async fn auth(&mut self, mechanism: &str, initial: Option<String>) -> Flow {
        match self.script(Step::Auth, &[]).await? {
            Verdict::Proceed => {}
            Verdict::Answered => return Ok(ON),
            Verdict::Close => return Ok(CLOSE),
        }
        let Some((user, password)) = self.shared.settings.credentials() else {
            return self.reply("502 5.5.1 AUTH is not offered").await;
        };
        if self.signed_in || !self.greeted || self.mail.is_some() || self.needs_tls() {
            return self.reply("503 5.5.1 Not now").await;
        }
        let sent = match mechanism {
            "PLAIN" => self.ask(initial, "").await?.and_then(|it| plain(&it)),
            "LOGIN" => {
                let user = self.ask(initial, "VXNlcm5hbWU6").await?;
                let password = match user {
                    Some(_) => self.ask(None, "UGFzc3dvcmQ6").await?,
                    None => None,
                };
                user.zip(password)
            }
            _ => return self.reply("504 5.5.4 Only PLAIN and LOGIN").await,
        };
        match sent {
            Some((name, secret)) if name == user && secret == password => {
                self.signed_in = true;
                self.reply("235 2.7.0 Signed in").await
            }
            Some(_) => self.reply("535 5.7.8 User or password is wrong").await,
            None => self.reply("501 5.5.2 Not understood, or given up").await,
        }
    }

    /// One answer of the client during AUTH, decoded; `None` if it gives up or cannot be read.
    async fn ask(&mut self, given: Option<String>, prompt: &str) -> io::Result<Option<String>> {
        let answer = match given {
            Some(given) => given,
            None => {
                self.wire.say(&format!("334 {prompt}")).await?;
                match self.wire.hear(|_| "(credentials)".to_owned()).await? {
                    Input::Line(line) => line,
                    _ => return Ok(None),
                }
            }
        };
        let decoded = BASE64_STANDARD.decode(answer.trim()).ok();
        Ok(decoded.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    async fn mail(&mut self, mail: MailFrom) -> Flow {
        match self.script(Step::Mail, &[]).await? {
            Verdict::Proceed => {}
            Verdict::Answered => return Ok(ON),
            Verdict::Close => return Ok(CLOSE),
        }
        let most = self.shared.settings.max_message_bytes;
        if !self.greeted {
            self.reply("503 5.5.1 EHLO first").await
        } else if self.needs_tls() {
            self.reply("530 5.7.0 STARTTLS first").await
        } else if !self.signed_in {
            self.reply("530 5.7.0 AUTH first").await
        } else if self.mail.is_some() {
            self.reply("503 5.5.1 There is a mail already").await
        } else if mail.size.is_some_and(|size| size > most) {
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
        match self.script(Step::Rcpt, std::slice::from_ref(&recipient)).await? {
            Verdict::Proceed => {}
            Verdict::Answered => return Ok(ON),
            Verdict::Close => return Ok(CLOSE),
        }
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
        let recipients = self.recipients.clone();
        match self.script(Step::Data, &recipients).await? {
            Verdict::Proceed => {}
            Verdict::Answered => return Ok(ON),
            Verdict::Close => return Ok(CLOSE),
        }
        if self.recipients.is_empty() {
            return self.reply("503 5.5.1 No recipient so far").await;
        }
        self.wire.say("354 End with a dot on a line of its own").await?;
        let most = self.shared.settings.max_message_bytes;
        match self.wire.hear_message(most).await? {
            Body::Message(message) => self.body(message).await,
            Body::TooLarge => {
                self.forget_mail();
                self.reply("552 5.3.4 Message too large").await
            }
            Body::End => Ok(CLOSE),
        }
    }

    /// The whole message has arrived: stores it, or does what the script wants.
    async fn body(&mut self, message: Vec<u8>) -> Flow {
        // A refused message is not kept; its name is, so that attempts can be compared.
        if let Some(id) = message::message_id(&message) {
            self.wire.note(format!("Message-ID: {id}"));
        }
        let envelope = Envelope {
            from: self.mail.take().unwrap_or_default().address,
            to: std::mem::take(&mut self.recipients),
            received_at: Utc::now(),
        };
        let action = self.shared.script.next(Step::Body, &envelope.to);
        let silence = match action {
            Some(Action::DropAfterAccept | Action::StallAfterAccept) => action,
            Some(action) => {
                return Ok(match self.act(Step::Body, action).await? {
                    Verdict::Close => CLOSE,
                    _ => ON,
                });
            }
            None => None,
        };
        let mail = match self.shared.inbox.store(envelope, message).await {
            Ok(mail) => mail,
            Err(error) => {
                tracing::error!(%error, "cannot store a mail");
                return self.reply("451 4.3.0 Cannot store it now").await;
            }
        };
        self.shared.conversations.stored(self.id, mail.id);
        match silence {
            Some(action) => {
                self.act(Step::Body, action).await?;
                Ok(CLOSE)
            }
            None => {
                let flow = self.reply(&format!("250 2.0.0 Kept as {}", mail.id)).await?;
                self.shared.conversations.acknowledged(self.id);
                Ok(flow)
            }
        }
    }

    /// Lets the script interfere with a step.
    async fn script(&mut self, step: Step, recipients: &[String]) -> io::Result<Verdict> {
        match self.shared.script.next(step, recipients) {
            Some(action) => self.act(step, action).await,
            None => Ok(Verdict::Proceed),
        }
    }

    async fn act(&mut self, step: Step, action: Action) -> io::Result<Verdict> {
        self.wire.note(format!("script at {step:?}: {action:?}"));
        match action {
            Action::Reply { code, text } => {
                self.wire.say(&format!("{code} {text}")).await?;
                Ok(if code == 421 || step == Step::Connect {
                    Verdict::Close
                } else {
                    Verdict::Answered
                })
            }
            Action::Drop | Action::DropAfterAccept => Ok(Verdict::Close),
            Action::Stall | Action::StallAfterAccept => {
                self.wire.stall().await?;
                Ok(Verdict::Close)
            }
        }
    }

    async fn reply(&mut self, reply: &str) -> Flow {
        self.wire.say(reply).await?;
        Ok(ON)
    }

    fn forget_mail(&mut self) {
        self.mail = None;
        self.recipients.clear();
    }
}

/// The credentials of AUTH PLAIN: `authorisation NUL user NUL password`.
fn plain(decoded: &str) -> Option<(String, String)> {
    let mut parts = decoded.split('\0').skip(1);
    let credentials = (parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(credentials)
}

/// A command as the log may keep it.
fn without_secrets(line: &str) -> String {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(verb), Some(mechanism), Some(_)) if verb.eq_ignore_ascii_case("AUTH") => {
            format!("{verb} {mechanism} (credentials)")
        }
        _ => line.to_owned(),
    }
}
