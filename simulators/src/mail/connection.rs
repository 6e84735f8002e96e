//! Reads lines and messages from an SMTP connection, writes replies, and logs the conversation.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    conversation::{Conversations, Direction},
    tls::{Stream, Tls},
};

/// Maximum length of a command line in bytes. RFC 5321 requires 512, and AUTH may need more.
const MAX_LINE: u64 = 4096;
const MAX_CHUNK: u64 = 64 * 1024;
/// How long a connection may be idle before it is closed. RFC 5321 requires at least five minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

pub(super) enum Input {
    Line(String),
    TooLong,
    NotUtf8,
    End,
}

pub(super) enum Body {
    Message(Vec<u8>),
    /// The message was read to the end but is too large.
    TooLarge,
    End,
}

pub(super) struct Connection<'a> {
    stream: BufReader<Box<dyn Stream>>,
    log: &'a Conversations,
    id: u64,
}

impl<'a> Connection<'a> {
    pub(super) fn new(tcp: TcpStream, log: &'a Conversations, id: u64) -> Self {
        Self { stream: BufReader::new(Box::new(tcp)), log, id }
    }

    /// Starts TLS. Discards any earlier input because an attacker may have injected it (RFC 3207, section 6).
    pub(super) async fn encrypt(&mut self, tls: &Tls) -> io::Result<()> {
        let nothing = BufReader::new(Box::new(tokio::io::empty()) as Box<dyn Stream>);
        let plain = std::mem::replace(&mut self.stream, nothing).into_inner();
        self.stream = BufReader::new(tls.accept(plain).await?);
        self.note("TLS started".to_owned());
        Ok(())
    }

    /// Sends all lines of a reply in a single packet.
    pub(super) async fn send(&mut self, reply: &str) -> io::Result<()> {
        for line in reply.lines() {
            self.log.add_line(self.id, Direction::Out, line);
        }
        let bytes = format!("{reply}\r\n");
        self.stream.write_all(bytes.as_bytes()).await?;
        self.stream.flush().await
    }

    pub(super) fn note(&self, text: String) {
        self.log.add_line(self.id, Direction::Note, text);
    }

    /// Reads a command line. `logged` returns the text to write to the conversation log.
    pub(super) async fn read_command(
        &mut self,
        logged: impl Fn(&str) -> String,
    ) -> io::Result<Input> {
        let mut line = Vec::new();
        read_chunk(&mut self.stream, MAX_LINE, &mut line).await?;
        if !line.ends_with(b"\n") {
            return Ok(match line.len() as u64 {
                MAX_LINE => Input::TooLong,
                _ => Input::End,
            });
        }
        while line.last().is_some_and(|it| b"\r\n".contains(it)) {
            line.pop();
        }
        let Ok(line) = String::from_utf8(line) else {
            self.log.add_line(self.id, Direction::In, "(not UTF-8)");
            return Ok(Input::NotUtf8);
        };
        self.log.add_line(self.id, Direction::In, logged(&line));
        Ok(Input::Line(line))
    }

    /// Reads a message up to the terminating dot and removes dot stuffing.
    pub(super) async fn read_message(&mut self, limit: usize) -> io::Result<Body> {
        let mut message = Vec::new();
        let mut total = 0;
        // Only CRLF ends a line because accepting a bare LF would allow SMTP smuggling.
        let mut line_start = true;
        loop {
            let mut chunk = Vec::new();
            read_chunk(&mut self.stream, MAX_CHUNK, &mut chunk).await?;
            if chunk.is_empty() {
                self.note(format!("the client disconnected after {total} bytes of the message"));
                return Ok(Body::End);
            }
            if line_start && chunk == b".\r\n" {
                break;
            }
            let stuffed = line_start && chunk.starts_with(b".");
            let plain = &chunk[usize::from(stuffed)..];
            total += plain.len();
            let cr_before = message.last() == Some(&b'\r');
            line_start = chunk.ends_with(b"\r\n") || (chunk == b"\n" && cr_before);
            if total <= limit {
                message.extend_from_slice(plain);
            } else {
                // The content of an oversized message is discarded, except for the last byte, which the next iteration
                // needs.
                message = plain.last().copied().into_iter().collect();
            }
        }
        self.note(format!("message of {total} bytes"));
        Ok(if total <= limit { Body::Message(message) } else { Body::TooLarge })
    }

    pub(super) async fn stall(&mut self) -> io::Result<()> {
        let mut ignored = vec![0; 4096];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

/// Reads up to the end of a line, but at most `limit` bytes. A shorter chunk without a line end means that the client
/// disconnected.
async fn read_chunk(
    stream: &mut BufReader<Box<dyn Stream>>,
    limit: u64,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let mut limited = stream.take(limit);
    let read = tokio::time::timeout(IDLE_TIMEOUT, limited.read_until(b'\n', into));
    match read.await {
        Ok(read) => read.map(|_| ()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
