//! Connects to Temporal and registers the search attributes of the workflows.

use diagflow_store::settings::convert;
use diagflow_workflows::contract::{AGENT_ID, FAILURE_CODE, SUBMISSION_STATUS};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::time::Duration;
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_client::{
    Client, ClientKeepAliveOptions, ClientOptions, Connection, ConnectionOptions,
};
use temporalio_common::protos::temporal::api::operatorservice::v1::AddSearchAttributesRequest;
use url::Url;

#[derive(Debug, Clone, Deserialize)]
pub struct TemporalSettings {
    #[serde(rename = "TEMPORAL_ADDRESS", deserialize_with = "address")]
    pub address: Url,
    #[serde(rename = "TEMPORAL_NAMESPACE")]
    pub namespace: String,
}

/// Parses `host:port`.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    convert(deserializer, |text| {
        format!("http://{text}").parse().ok().filter(|url: &Url| url.port().is_some())
    })
}

/// A dead connection is detected after 25 s (the SDK's default is 45 s). Until then no run is started and no worker
/// gets tasks. Temporal may close a connection that sends keep-alives less than ten seconds apart.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to Temporal and registers the search attributes that do not exist yet.
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
