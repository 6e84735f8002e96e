//! The mail catcher's JSON API.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{inbox::Filter, message::Mail, script::Script, state::Shared};
use crate::responses::json_error;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/health", get(health))
        .route("/api/mails", get(mails).delete(clear))
        .route("/api/mails/{id}", get(mail))
        .route("/api/mails/{id}/raw", get(raw))
        .route("/api/conversations", get(conversations))
        .route("/api/script", get(script).put(set_script))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok", "simulator": "mail"}))
}

async fn mails(State(shared): State<Arc<Shared>>, Query(filter): Query<Filter>) -> Json<Value> {
    let mails = filter.select(&shared.inbox);
    let mails: Vec<&Mail> = mails.iter().map(AsRef::as_ref).collect();
    Json(json!({ "mails": mails }))
}

async fn mail(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    match shared.inbox.get(id) {
        Some(mail) => Json(mail.as_ref()).into_response(),
        None => not_found(),
    }
}

async fn raw(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let Some(mail) = shared.inbox.get(id) else {
        return not_found();
    };
    // The response is plain text with `nosniff` so that message content cannot run scripts in the inbox's origin.
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, mail.raw.clone()).into_response()
}

async fn clear(State(shared): State<Arc<Shared>>) -> Response {
    match shared.inbox.clear().await {
        Ok(()) => Json(json!({"success": true})).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot delete spooled messages");
            json_error(StatusCode::INTERNAL_SERVER_ERROR, "cannot delete spooled messages")
        }
    }
}

async fn conversations(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"conversations": shared.conversations.all()}))
}

async fn script(State(shared): State<Arc<Shared>>) -> Json<Script> {
    Json(shared.script.script())
}

/// Sets the script. The handler parses the JSON itself so that every error is returned as JSON with a reason.
async fn set_script(State(shared): State<Arc<Shared>>, text: String) -> Response {
    match serde_json::from_str::<Script>(&text) {
        Ok(script) => {
            shared.script.set(script.clone());
            Json(script).into_response()
        }
        Err(error) => json_error(StatusCode::BAD_REQUEST, error),
    }
}

fn not_found() -> Response {
    json_error(StatusCode::NOT_FOUND, "message not found")
}
