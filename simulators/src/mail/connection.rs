//! Lines and messages on an SMTP connection, and their entries in the conversation's log.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    conversation::{Conversations, Direction},
    tls::{Stream, Tls},
};

/// Longest command line in bytes; RFC 5321 asks for 512, AUTH may need more.
const MAX_LINE: u64 = 4096;
/// Message lines are read in pieces of at most this many bytes.
const MAX_CHUNK: u64 = 64 * 1024;
/// A silent client is let go after this time (RFC 5321 asks for at least five minutes).
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// What came in the place of a command.
pub(super) enum Input {
    Line(String),
    TooLong,
    NotUtf8,
    End,
}

/// What came after DATA.
pub(super) enum Body {
    Message(Vec<u8>),
    /// Larger than allowed; read to its end all the same.
    TooLarge,
    /// The client went away in the middle.
    End,
}

/// A connection and where its conversation is logged.
pub(super) struct Connection<'a> {
    stream: BufReader<Box<dyn Stream>>,
    log: &'a Conversations,
    id: u64,
}

impl<'a> Connection<'a> {
    pub(super) fn new(tcp: TcpStream, log: &'a Conversations, id: u64) -> Self {
        Self { stream: BufReader::new(Box::new(tcp)), log, id }
    }

    /// Goes on encrypted. What the client said ahead of that is forgotten: somebody else may have put it in
    /// (RFC 3207, 6).
    pub(super) async fn encrypt(&mut self, tls: &Tls) -> io::Result<()> {
        let nothing = BufReader::new(Box::new(tokio::io::empty()) as Box<dyn Stream>);
        let plain = std::mem::replace(&mut self.stream, nothing).into_inner();
        self.stream = BufReader::new(tls.accept(plain).await?);
        self.note("encrypted from here".to_owned());
        Ok(())
    }

    /// Sends reply lines in one packet.
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

    /// Waits for a command line and logs it as `logged` makes it.
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

    /// Reads a message to its final dot, and takes off dot stuffing.
    pub(super) async fn read_message(&mut self, most: usize) -> io::Result<Body> {
        let mut message = Vec::new();
        let mut total = 0;
        // Only CRLF ends a line: taking a bare LF for one would let messages be smuggled in.
        let mut line_start = true;
        loop {
            let mut chunk = Vec::new();
            read_chunk(&mut self.stream, MAX_CHUNK, &mut chunk).await?;
            if chunk.is_empty() {
                self.note(format!("the client left after {total} bytes of message"));
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
            if total <= most {
                message.extend_from_slice(plain);
            } else {
                // Keep only what the next round looks at.
                message = plain.last().copied().into_iter().collect();
            }
        }
        self.note(format!("{total} bytes of message"));
        Ok(if total <= most { Body::Message(message) } else { Body::TooLarge })
    }

    /// Says nothing until the client goes away.
    pub(super) async fn stall(&mut self) -> io::Result<()> {
        let mut ignored = vec![0; 4096];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

/// Reads up to a line end or `limit` bytes; less than that means that the client went away.
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
