//! The inbox pages. Message content is untrusted, so it is escaped by the templates. HTML bodies are displayed in a
//! sandboxed frame whose policy forbids scripts and remote content.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

use super::{
    conversation::{Conversation, Direction},
    inbox::Filter,
    message::Mail,
    state::Shared,
};
use crate::responses;

/// The Content-Security-Policy for the pages. It allows only style sheets, scripts and frames from the mail catcher
/// itself.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
/// The Content-Security-Policy for HTML bodies. Its `sandbox` directive applies even if the frame's URL is opened
/// directly.
const BODY_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; \
    default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
    frame-ancestors 'self'";
/// Opens links in a new tab because most sites cannot be displayed in a frame.
const NEW_TAB: &str = "<base target=\"_blank\">";
/// Maximum number of rows on a page. The API returns all of them.
const SHOWN: usize = 200;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(list))
        .route("/mail/{id}", get(mail))
        .route("/mail/{id}/html", get(html_body))
        .route("/conversations", get(conversations))
        .route("/inbox.css", get(style))
        .route("/inbox.js", get(script))
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct ListPage {
    to: String,
    total: usize,
    mails: Vec<MailRow>,
}

struct MailRow {
    id: u64,
    sender: String,
    to: String,
    subject: String,
    preview: String,
    at: String,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    mail: Arc<Mail>,
    sender: String,
    to: String,
    at: String,
}

#[derive(Template)]
#[template(path = "conversations.html")]
struct ConversationsPage {
    rows: Vec<ConversationRow>,
}

struct ConversationRow {
    conversation: Conversation,
    at: String,
    outcome: &'static str,
}

impl ConversationRow {
    fn label(direction: &Direction) -> &'static str {
        match direction {
            Direction::In => "C",
            Direction::Out => "S",
            Direction::Note => "·",
        }
    }
}

async fn list(State(shared): State<Arc<Shared>>, Query(filter): Query<Filter>) -> Response {
    let mails = filter.select(&shared.inbox);
    page(&ListPage {
        total: mails.len(),
        mails: mails.iter().rev().take(SHOWN).map(|it| mail_row(it)).collect(),
        to: filter.to.unwrap_or_default(),
    })
}

async fn mail(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let Some(mail) = shared.inbox.get(id) else {
        return (StatusCode::NOT_FOUND, Html("<h1>Message not found</h1>")).into_response();
    };
    page(&MailPage {
        sender: sender(&mail),
        to: mail.to.join(", "),
        at: responses::time(mail.received_at),
        mail,
    })
}

async fn html_body(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let mail = shared.inbox.get(id);
    let Some(html) = mail.as_ref().and_then(|mail| mail.html.as_deref()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, BODY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(with_new_tab(html))).into_response()
}

async fn conversations(State(shared): State<Arc<Shared>>) -> Response {
    let all = shared.conversations.all();
    let rows = all.into_iter().rev().take(SHOWN).map(|conversation| ConversationRow {
        at: responses::time(conversation.started_at),
        outcome: match (conversation.mails.len(), conversation.acknowledged as usize) {
            (0, _) => "no message accepted",
            (stored, acknowledged) if acknowledged < stored => "accepted, but not acknowledged",
            _ => "accepted",
        },
        conversation,
    });
    page(&ConversationsPage { rows: rows.collect() })
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("../../templates/inbox.css"))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("../../templates/inbox.js"))
}

fn page(template: &impl Template) -> Response {
    let headers =
        [(header::CONTENT_SECURITY_POLICY, PAGE_POLICY), (header::CACHE_CONTROL, "no-store")];
    (headers, responses::page(template)).into_response()
}

fn mail_row(mail: &Mail) -> MailRow {
    let words = mail.text.as_deref().unwrap_or_default().split_whitespace();
    let preview: String = words.flat_map(|word| [word, " "]).collect();
    MailRow {
        id: mail.id,
        sender: sender(mail),
        to: mail.to.join(", "),
        subject: mail.subject.clone(),
        preview: preview.chars().take(160).collect(),
        at: responses::time(mail.received_at),
    }
}

/// Returns the From header, or the envelope sender if there is no From header.
fn sender(mail: &Mail) -> String {
    let named = mail.header("From").filter(|it| !it.is_empty());
    named.unwrap_or(&mail.from).to_owned()
}

/// Inserts [`NEW_TAB`] into the head or, if there is none, at the beginning of the document.
fn with_new_tab(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let head = lower.find("<head>").map(|at| at + "<head>".len());
    let at = head.unwrap_or(0);
    format!("{}{NEW_TAB}{}", &html[..at], &html[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_element_is_inserted_into_the_head() {
        let html = "<!doctype html><html><HEAD><title>x</title></head>ü";
        let changed = with_new_tab(html);
        assert!(changed.starts_with("<!doctype html><html><HEAD><base target"), "{changed}");
        assert_eq!(with_new_tab("<p>x"), format!("{NEW_TAB}<p>x"));
    }
}
