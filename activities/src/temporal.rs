//! The way to Temporal: connecting, and the search attributes that the workflow sets.

use diagflow_workflows::contract::{AGENT_ID, FAILURE_CODE, SUBMISSION_STATUS};
use std::collections::HashMap;
use std::time::Duration;
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_client::{
    Client, ClientKeepAliveOptions, ClientOptions, Connection, ConnectionOptions,
};
use temporalio_common::protos::temporal::api::operatorservice::v1::AddSearchAttributesRequest;
use url::Url;

/// How to reach Temporal.
#[derive(Debug, Clone)]
pub struct TemporalSettings {
    /// `TEMPORAL_ADDRESS`: host and port; default `127.0.0.1:7233`.
    pub address: Url,
    /// `TEMPORAL_NAMESPACE`: default `default`.
    pub namespace: String,
    /// `TEMPORAL_TASK_QUEUE`: default `diagnosis`.
    pub task_queue: String,
}

/// A connection whose other end vanished without a word is noticed after 25 s; by the SDK's own settings after 45,
/// in which no run is started and no worker hears of work. Temporal takes a sign of life in less than ten seconds
/// for too many, and may close the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects, and registers the search attributes, which does nothing where they exist.
///
/// # Errors
/// When Temporal cannot be reached or refuses.
pub async fn connect(settings: &TemporalSettings, identity: &str) -> anyhow::Result<Client> {
    let keep_alive = ClientKeepAliveOptions::builder()
        .interval(KEEP_ALIVE_INTERVAL)
        .timeout(KEEP_ALIVE_TIMEOUT)
        .build();
    let options = ConnectionOptions::new(settings.address.clone())
        .identity(identity)
        .connect_timeout(Duration::from_secs(10))
        .keep_alive(Some(keep_alive))
        .build();
    let connection = Connection::connect(options).await?;
    let client = Client::new(connection, ClientOptions::new(settings.namespace.clone()).build())?;
    register_search_attributes(&client).await?;
    Ok(client)
}

async fn register_search_attributes(client: &Client) -> anyhow::Result<()> {
    let attributes = [
        (SUBMISSION_STATUS.name(), SUBMISSION_STATUS.indexed_value_type()),
        (FAILURE_CODE.name(), FAILURE_CODE.indexed_value_type()),
        (AGENT_ID.name(), AGENT_ID.indexed_value_type()),
    ];
    let request = AddSearchAttributesRequest {
        search_attributes: HashMap::from(
            attributes.map(|(name, kind)| (name.to_owned(), kind as i32)),
        ),
        namespace: client.options().namespace.clone(),
    };
    let mut operator = client.connection().operator_service();
    match operator.add_search_attributes(request.into_request()).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::AlreadyExists => Ok(()),
        Err(status) => Err(status.into()),
    }
}
