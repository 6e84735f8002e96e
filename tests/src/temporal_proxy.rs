//! A gRPC proxy in front of a Temporal server that can deny requests, shorten lists, and count requests.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::future::poll_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use temporalio_client::tonic::client::GrpcService;
use temporalio_client::tonic::transport::{Channel, Endpoint};
use temporalio_client::tonic::{self, Status};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const MAX_REQUEST: usize = 4 << 20;

#[derive(Default)]
struct Rules {
    denied: BTreeSet<&'static str>,
    page_size: Option<u8>,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Shared {
    server: Channel,
    rules: Arc<Mutex<Rules>>,
}

pub struct TemporalProxy {
    address: SocketAddr,
    shared: Shared,
    accepting: JoinHandle<()>,
}

impl TemporalProxy {
    /// Starts a proxy to `server`, given as a host and port.
    pub async fn to(server: &str) -> TemporalProxy {
        let server = Endpoint::from_shared(format!("http://{server}")).expect("an address");
        let shared = Shared { server: server.connect_lazy(), rules: Arc::default() };
        let router = Router::new().fallback(forward).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                let http = Builder::new(TokioExecutor::new()).http2_only();
                tokio::spawn(async move {
                    let _ = http.serve_connection(TokioIo::new(client), service).await;
                });
            }
        });
        TemporalProxy { address, shared, accepting }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Denies all requests with this method, such as `DescribeNamespace`.
    pub fn deny(&self, method: &'static str) {
        self.shared.rules().denied.insert(method);
    }

    pub fn allow(&self, method: &str) {
        self.shared.rules().denied.remove(method);
    }

    /// Limits each response to a request that lists workflows to this many workflows.
    pub fn limit_pages(&self, size: u8) {
        self.shared.rules().page_size = Some(size);
    }

    /// Returns the number of requests with this method.
    pub fn requests(&self, method: &str) -> usize {
        self.shared.rules().requests.iter().filter(|request| *request == method).count()
    }
}

impl Drop for TemporalProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    // With this response to its first request, the SDK stops compressing requests, so the proxy can change them.
    if request.headers().contains_key("grpc-encoding") {
        return Status::unimplemented("unknown grpc-encoding").into_http();
    }
    let page_size = {
        let mut rules = shared.rules();
        let is_denied = rules.denied.contains(method.as_str());
        rules.requests.push(method.clone());
        if is_denied {
            return Status::permission_denied("denied by the proxy").into_http();
        }
        rules.page_size.filter(|_| method == "ListWorkflowExecutions")
    };
    let request = match page_size {
        Some(size) => with_page_size(request, size).await,
        None => request.map(tonic::body::Body::new),
    };
    let mut server = shared.server.clone();
    let ready = poll_fn(|context| GrpcService::poll_ready(&mut server, context)).await;
    let response = match ready {
        Ok(()) => GrpcService::call(&mut server, request).await,
        Err(error) => Err(error),
    };
    match response {
        Ok(response) => response.map(Body::new),
        Err(error) => Status::unavailable(error.to_string()).into_http(),
    }
}

/// Replaces the page size in a request that lists workflows.
async fn with_page_size(request: Request, size: u8) -> Request<tonic::body::Body> {
    /// Number and type of the field `page_size`.
    const PAGE_SIZE: u8 = (2 << 3) | VARINT;
    const VARINT: u8 = 0;
    const COMPRESSION_FLAG: usize = 1;
    const PREFIX: usize = COMPRESSION_FLAG + size_of::<u32>();
    let (parts, body) = request.into_parts();
    let mut message = to_bytes(body, MAX_REQUEST).await.expect("a request").to_vec();
    // If a field is repeated, its last value counts.
    message.extend([PAGE_SIZE, size]);
    let length = u32::try_from(message.len() - PREFIX).expect("a small message");
    message[COMPRESSION_FLAG..PREFIX].copy_from_slice(&length.to_be_bytes());
    Request::from_parts(parts, tonic::body::Body::new(Body::from(message)))
}
