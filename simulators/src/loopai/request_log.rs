//! The log of requests to the platform's API, and the middleware that writes it.

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
use crate::sync::{ChangeNotifier, lock};

/// Identifies a record in the request log so that handlers can update it.
#[derive(Clone, Copy)]
pub(super) struct RequestNumber(u64);

/// Marks a response that never reaches the client because the connection ends first.
#[derive(Clone, Copy)]
pub(super) struct NotSent;

pub(super) struct RequestLog {
    capacity: usize,
    changes: Arc<ChangeNotifier>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    count: u64,
    requests: VecDeque<RequestRecord>,
}

impl RequestLog {
    pub(super) fn new(capacity: usize, changes: Arc<ChangeNotifier>) -> Self {
        Self { capacity: capacity.max(1), changes, inner: Mutex::default() }
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        lock(&self.inner).requests.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        // Request numbers are never reused, so a late response cannot change another request's record.
        lock(&self.inner).requests.clear();
    }

    pub(super) fn set_execution(&self, number: RequestNumber, execution_id: &str) {
        self.change(number, |line| {
            line.execution_id = Some(execution_id.to_owned());
        });
    }

    /// Records a fault. Call this before applying the fault because a hanging request may never return.
    pub(super) fn set_fault(&self, number: RequestNumber, fault: String) {
        self.change(number, |record| record.fault = Some(fault));
    }

    fn add(&self, request: &Request) -> RequestNumber {
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
            headers: redacted(request.headers()),
        });
        if inner.requests.len() > self.capacity {
            inner.requests.pop_front();
        }
        drop(inner);
        self.changes.notify();
        RequestNumber(number)
    }

    fn change(&self, number: RequestNumber, change: impl FnOnce(&mut RequestRecord)) {
        let mut inner = lock(&self.inner);
        let records = &mut inner.requests;
        if let Ok(index) = records.binary_search_by_key(&number.0, |record| record.number) {
            change(&mut records[index]);
        }
        drop(inner);
        self.changes.notify();
    }
}

/// Logs each request on arrival and its status when the response is sent.
pub(super) async fn log(
    State(log): State<Arc<RequestLog>>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = log.add(&request);
    request.extensions_mut().insert(number);
    let response = next.run(request).await;
    if response.extensions().get::<NotSent>().is_none() {
        let status = response.status().as_u16();
        log.change(number, |record| record.status = Some(status));
    }
    response
}

fn redacted(headers: &HeaderMap) -> BTreeMap<String, String> {
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
            .and_modify(|record| record.push_str(&format!(", {value}")))
            .or_insert_with(|| value.into_owned());
    }
    lines
}
