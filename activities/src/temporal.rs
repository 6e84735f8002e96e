//! Connects to Temporal, identifies the cluster, and ensures that the workflows' search attributes exist.

use diagflow_store::TemporalCluster;
use diagflow_store::settings::convert;
use diagflow_workflows::contract::{AGENT_ID, FAILURE_CODE, SUBMISSION_STATUS};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::time::Duration;
use temporalio_client::tonic::{Code, IntoRequest, Response, Status};
use temporalio_client::{
    Client, ClientKeepAliveOptions, ClientOptions, Connection, ConnectionOptions,
};
use temporalio_common::protos::temporal::api::enums::v1::IndexedValueType;
use temporalio_common::protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, ListSearchAttributesRequest, ListSearchAttributesResponse,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::GetClusterInfoRequest;
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

/// With these values, a dead connection is detected after 25 s instead of the SDK's default of 45 s. Until then, runs
/// cannot start and workers receive no tasks. Temporal may close a connection that sends keep-alives more than once
/// every 10 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to Temporal. Creates missing search attributes and checks the types of existing ones.
pub async fn connect(
    settings: &TemporalSettings,
    identity: &str,
) -> anyhow::Result<(Client, SearchAttributeCheck)> {
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
    let check = ensure_search_attributes(&client).await?;
    Ok((client, check))
}

/// Returns the cluster and namespace that the client is connected to.
pub async fn cluster(client: &Client) -> anyhow::Result<TemporalCluster> {
    let mut service = client.connection().workflow_service();
    let info = service.get_cluster_info(GetClusterInfoRequest {}.into_request()).await?;
    let namespace = client.options().namespace.clone();
    Ok(TemporalCluster { namespace, cluster_id: info.into_inner().cluster_id })
}

/// Whether the search attributes were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchAttributeCheck {
    Passed,
    /// Temporal does not permit Diagflow to list the search attributes. If one is missing or has the wrong type, the
    /// reconciler will report the affected runs as stuck.
    Forbidden,
}

/// A problem with a search attribute. Runs cannot make progress without their search attributes.
#[derive(Debug, thiserror::Error)]
pub enum SearchAttributeError {
    #[error(
        "the search attribute {0} does not exist, and Temporal does not allow Diagflow to create it"
    )]
    Missing(&'static str),
    #[error("the search attribute {name} is not of type {expected:?}")]
    Type { name: &'static str, expected: IndexedValueType },
}

/// Creates missing search attributes and checks the types of existing ones.
async fn ensure_search_attributes(client: &Client) -> anyhow::Result<SearchAttributeCheck> {
    let request = ListSearchAttributesRequest { namespace: client.options().namespace.clone() };
    let mut operator = client.connection().operator_service();
    let listed = operator.list_search_attributes(request.into_request()).await;
    let Some(existing) = existing_search_attributes(listed.map(Response::into_inner))? else {
        return Ok(SearchAttributeCheck::Forbidden);
    };
    let missing = missing_search_attributes(&existing)?;
    let Some((first, _)) = missing.first() else { return Ok(SearchAttributeCheck::Passed) };
    let request = AddSearchAttributesRequest {
        search_attributes: missing
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind as i32))
            .collect(),
        namespace: client.options().namespace.clone(),
    };
    match operator.add_search_attributes(request.into_request()).await {
        Ok(_) => Ok(SearchAttributeCheck::Passed),
        // Another process created the attribute at the same time.
        Err(status) if status.code() == Code::AlreadyExists => Ok(SearchAttributeCheck::Passed),
        Err(status) if is_forbidden(&status) => Err(SearchAttributeError::Missing(first).into()),
        Err(status) => Err(status.into()),
    }
}

/// Returns the namespace's search attributes, or `None` if Temporal does not permit Diagflow to list them.
fn existing_search_attributes(
    listed: Result<ListSearchAttributesResponse, Status>,
) -> Result<Option<HashMap<String, i32>>, Status> {
    match listed {
        Ok(listed) => Ok(Some(listed.custom_attributes)),
        Err(status) if is_forbidden(&status) => Ok(None),
        Err(status) => Err(status),
    }
}

/// Returns the missing search attributes with their types.
fn missing_search_attributes(
    existing: &HashMap<String, i32>,
) -> Result<Vec<(&'static str, IndexedValueType)>, SearchAttributeError> {
    let expected = [
        (SUBMISSION_STATUS.name(), SUBMISSION_STATUS.indexed_value_type()),
        (FAILURE_CODE.name(), FAILURE_CODE.indexed_value_type()),
        (AGENT_ID.name(), AGENT_ID.indexed_value_type()),
    ];
    let mut missing = Vec::new();
    for (name, expected) in expected {
        match existing.get(name) {
            None => missing.push((name, expected)),
            Some(kind) if *kind == expected as i32 => {}
            Some(_) => return Err(SearchAttributeError::Type { name, expected }),
        }
    }
    Ok(missing)
}

/// Temporal Cloud does not offer the operator service, and other servers may restrict it to administrators.
fn is_forbidden(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::Unimplemented)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn existing(attributes: &[(&str, IndexedValueType)]) -> HashMap<String, i32> {
        attributes.iter().map(|(name, kind)| ((*name).to_owned(), *kind as i32)).collect()
    }

    #[test]
    fn search_attributes_are_checked_for_existence_and_type() {
        let all = existing(&[
            ("SubmissionStatus", IndexedValueType::Keyword),
            ("FailureCode", IndexedValueType::Keyword),
            ("AgentId", IndexedValueType::Int),
            ("Other", IndexedValueType::Bool),
        ]);
        assert_eq!(missing_search_attributes(&all).expect("correct types"), []);

        let some = existing(&[("FailureCode", IndexedValueType::Keyword)]);
        let missing = missing_search_attributes(&some).expect("correct types");
        assert_eq!(
            missing,
            [("SubmissionStatus", IndexedValueType::Keyword), ("AgentId", IndexedValueType::Int)]
        );

        let wrong = existing(&[("AgentId", IndexedValueType::Keyword)]);
        let error = missing_search_attributes(&wrong).expect_err("a wrong type").to_string();
        assert_eq!(error, "the search attribute AgentId is not of type Int");
    }

    #[test]
    fn search_attributes_are_not_checked_where_listing_them_is_forbidden() {
        for forbidden in [Status::permission_denied(""), Status::unimplemented("")] {
            assert_eq!(existing_search_attributes(Err(forbidden)).expect("no error"), None);
        }
        for other in [Status::unavailable(""), Status::not_found("")] {
            assert!(existing_search_attributes(Err(other)).is_err());
        }
        let listed = ListSearchAttributesResponse::default();
        let existing = existing_search_attributes(Ok(listed)).expect("no error");
        assert_eq!(existing, Some(HashMap::new()));
    }
}
