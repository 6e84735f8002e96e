//! Received messages and their decoded content.

use chrono::{DateTime, Utc};
use mail_parser::{MessageParser, MimeHeaders, PartType, parsers::MessageStream};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// Sequence number of the message, starting at 1 and unique within a spool folder.
    pub id: u64,
    pub received_at: DateTime<Utc>,
    /// Envelope sender (MAIL FROM), which is empty for bounces.
    pub from: String,
    pub to: Vec<String>,
    /// Decoded subject. Empty if there is no Subject header.
    pub subject: String,
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Time from the Date header, in RFC 3339 format.
    pub date: Option<String>,
    /// Decoded plain-text parts.
    pub text: Option<String>,
    /// Decoded HTML parts.
    pub html: Option<String>,
    /// Decoded headers in their original order.
    pub headers: Vec<Header>,
    pub attachments: Vec<Attachment>,
    /// Size of the raw message in bytes.
    pub size: usize,
    /// The message as received, with dot stuffing removed.
    #[serde(skip)]
    pub raw: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attachment {
    pub name: Option<String>,
    pub content_type: String,
    /// Decoded size in bytes.
    pub size: usize,
}

pub(super) fn message_id(raw: &[u8]) -> Option<String> {
    let headers = MessageParser::default().parse_headers(raw)?;
    headers.message_id().map(ToOwned::to_owned)
}

#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) received_at: DateTime<Utc>,
}

impl Mail {
    /// Returns the value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(&found.value)
    }

    pub(super) fn read(id: u64, envelope: Envelope, raw: Vec<u8>) -> Self {
        let mut mail = Self {
            id,
            received_at: envelope.received_at,
            from: envelope.from,
            to: envelope.to,
            subject: String::new(),
            message_id: None,
            date: None,
            text: None,
            html: None,
            headers: Vec::new(),
            attachments: Vec::new(),
            size: raw.len(),
            raw: Vec::new(),
        };
        // Unparseable messages are stored as well because the server has accepted them.
        if let Some(message) = MessageParser::default().parse(&raw) {
            mail.subject = message.subject().unwrap_or_default().to_owned();
            mail.message_id = message.message_id().map(ToOwned::to_owned);
            mail.date = message.date().map(|date| date.to_rfc3339());
            mail.headers = headers(&message, &raw);
            let texts = message.text_bodies().filter_map(|part| match &part.body {
                PartType::Text(text) => Some(text.as_ref()),
                _ => None,
            });
            mail.text = joined(texts);
            let htmls = message.html_bodies().filter_map(|part| match &part.body {
                PartType::Html(html) => Some(html.as_ref()),
                _ => None,
            });
            mail.html = joined(htmls);
            mail.attachments = message.attachments().map(attachment).collect();
        }
        mail.raw = raw;
        mail
    }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let parts: Vec<&str> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn headers(message: &mail_parser::Message<'_>, raw: &[u8]) -> Vec<Header> {
    let headers = message.headers().iter().map(|header| {
        let value =
            raw.get(header.offset_start as usize..header.offset_end as usize).unwrap_or_default();
        let decoded = MessageStream::new(value).parse_unstructured();
        Header {
            name: header.name.as_str().to_owned(),
            value: decoded.as_text().unwrap_or_default().to_owned(),
        }
    });
    headers.collect()
}

fn attachment(part: &mail_parser::MessagePart<'_>) -> Attachment {
    let content_type = part.content_type().map(|it| match it.subtype() {
        Some(subtype) => format!("{}/{subtype}", it.ctype()),
        None => it.ctype().to_owned(),
    });
    Attachment {
        name: part.attachment_name().map(ToOwned::to_owned),
        content_type: content_type.unwrap_or_else(|| "text/plain".to_owned()),
        size: part.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Mail {
        let envelope = Envelope {
            from: "a@x.example".to_owned(),
            to: vec!["b@x.example".to_owned()],
            received_at: Utc::now(),
        };
        Mail::read(1, envelope, raw.replace('\n', "\r\n").into_bytes())
    }

    #[test]
    fn decodes_subject_text_and_html() {
        let mail = read(
            "From: =?utf-8?Q?Dr=2E_M=C3=BCller?= <a@x.example>\n\
             Subject: =?utf-8?B?SWhyZSBFcmdlYm5pc3NlIOKckw==?=\n\
             Message-ID: <1@x.example>\n\
             Date: Tue, 3 Nov 2026 10:00:00 +0100\n\
             MIME-Version: 1.0\n\
             Content-Type: multipart/alternative; boundary=sep\n\n\
             --sep\n\
             Content-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: quoted-printable\n\n\
             Gr=C3=BC=C3=9Fe\n\
             --sep\n\
             Content-Type: text/html; charset=iso-8859-1\n\
             Content-Transfer-Encoding: base64\n\n\
             PGI+R3L832U8L2I+\n\
             --sep--\n",
        );
        assert_eq!(mail.subject, "Ihre Ergebnisse ✓");
        assert_eq!(mail.message_id.as_deref(), Some("1@x.example"));
        assert_eq!(mail.date.as_deref(), Some("2026-11-03T10:00:00+01:00"));
        assert_eq!(mail.text.as_deref(), Some("Grüße"));
        assert_eq!(mail.html.as_deref(), Some("<b>Grüße</b>"));
        assert_eq!(mail.header("from"), Some("Dr. Müller <a@x.example>"));
        assert_eq!(mail.headers.len(), 6);
        assert!(mail.attachments.is_empty());
    }

    #[test]
    fn a_plain_text_message_has_no_html() {
        let mail = read("Subject: plain\n\nhello\n");
        assert_eq!(mail.html, None);
        assert_eq!(mail.text.as_deref(), Some("hello\r\n"));
    }

    #[test]
    fn lists_attachments() {
        let mail = read(
            "Content-Type: multipart/mixed; boundary=sep\n\n\
             --sep\nContent-Type: text/plain\n\nsee there\n\
             --sep\nContent-Type: application/pdf\n\
             Content-Disposition: attachment; filename=\"a.pdf\"\n\
             Content-Transfer-Encoding: base64\n\naGV5IQ==\n--sep--\n",
        );
        let expected = Attachment {
            name: Some("a.pdf".to_owned()),
            content_type: "application/pdf".to_owned(),
            size: 4,
        };
        assert_eq!(mail.attachments, [expected]);
    }

    #[test]
    fn messages_that_cannot_be_parsed_are_stored() {
        assert_eq!(read("").size, 0);
        assert_eq!(read("\n").raw, b"\r\n");
    }
}
