//! The log of requests to the contract, and the middleware that writes it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use chrono::Utc;

use super::records::RequestRecord;
use crate::sync::{Bell, lock};

/// Names a request's line in the log, for handlers that know more about it.
#[derive(Clone, Copy)]
pub(super) struct RequestNumber(u64);

/// Marks a response that will not reach the client, because its connection is about to be cut.
#[derive(Clone, Copy)]
pub(super) struct NeverSent;

/// The last requests, oldest first.
pub(super) struct RequestLog {
    keep: usize,
    bell: Arc<Bell>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    count: u64,
    requests: VecDeque<RequestRecord>,
}

impl RequestLog {
    pub(super) fn new(keep: usize, bell: Arc<Bell>) -> Self {
        Self { keep: keep.max(1), bell, inner: Mutex::default() }
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        lock(&self.inner).requests.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        // The count goes on, so that a late answer cannot be written to another request's line.
        lock(&self.inner).requests.clear();
    }

    /// Notes which execution a request is about.
    pub(super) fn about(&self, number: RequestNumber, execution_id: &str) {
        self.change(number, |line| {
            line.execution_id = Some(execution_id.to_owned());
        });
    }

    /// Notes the fault before it is played: a hanging one may never come back to tell.
    pub(super) fn fault(&self, number: RequestNumber, fault: String) {
        self.change(number, |line| line.fault = Some(fault));
    }

    fn arrived(&self, request: &Request) -> RequestNumber {
        let mut inner = lock(&self.inner);
        inner.count += 1;
        let number = inner.count;
        inner.requests.push_back(RequestRecord {
            number,
            at: Utc::now(),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            status: None,
            fault: None,
            execution_id: None,
            headers: readable(request.headers()),
        });
        if inner.requests.len() > self.keep {
            inner.requests.pop_front();
        }
        drop(inner);
        self.bell.ring();
        RequestNumber(number)
    }

    fn change(&self, number: RequestNumber, change: impl FnOnce(&mut RequestRecord)) {
        let mut inner = lock(&self.inner);
        let lines = &mut inner.requests;
        if let Ok(index) = lines.binary_search_by_key(&number.0, |line| line.number) {
            change(&mut lines[index]);
        }
        drop(inner);
        self.bell.ring();
    }
}

/// Logs each request when it comes, and its status when it is answered.
pub(super) async fn log(
    State(log): State<Arc<RequestLog>>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = log.arrived(&request);
    request.extensions_mut().insert(number);
    let response = next.run(request).await;
    if response.extensions().get::<NeverSent>().is_none() {
        let status = response.status().as_u16();
        log.change(number, |line| line.status = Some(status));
    }
    response
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = if secret.contains(name) {
            "(redacted)".into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        lines
            .entry(name.to_string())
            .and_modify(|line| line.push_str(&format!(", {value}")))
            .or_insert_with(|| value.into_owned());
    }
    lines
}
