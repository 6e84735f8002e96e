//! The Temporal cluster that this database's runs belong to. Other clusters do not have the runs' workflow executions,
//! so a process connected to another cluster would end every run as orphaned.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::error::{StoreError, StoreResult};
use crate::db::pool::{Store, transaction};
use crate::db::schema::temporal_cluster;
use diesel::dsl::Eq;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Datetime;
use diesel_async::RunQueryDsl;
use std::fmt;

const ONLY_ROW: i32 = 1;

/// A namespace in a Temporal cluster.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct TemporalCluster {
    pub namespace: String,
    /// Random id that Temporal stores in its database.
    pub cluster_id: String,
}

impl fmt::Display for TemporalCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} of cluster {}", self.namespace, self.cluster_id)
    }
}

type Row<'a> = (
    Eq<temporal_cluster::id, i32>,
    Eq<temporal_cluster::namespace, &'a str>,
    Eq<temporal_cluster::cluster_id, &'a str>,
    Eq<temporal_cluster::recorded_at, SqlLiteral<Datetime>>,
);

impl TemporalCluster {
    fn row(&self) -> Row<'_> {
        (
            temporal_cluster::id.eq(ONLY_ROW),
            temporal_cluster::namespace.eq(self.namespace.as_str()),
            temporal_cluster::cluster_id.eq(self.cluster_id.as_str()),
            temporal_cluster::recorded_at.eq(now()),
        )
    }
}

impl Store {
    /// Records `cluster` if no cluster is recorded yet. Returns the recorded cluster.
    pub async fn claim_temporal_cluster(
        &self,
        cluster: &TemporalCluster,
    ) -> StoreResult<TemporalCluster> {
        transaction!(self, connection => {
            if let Some(recorded) = recorded(connection).await? {
                return Ok(recorded);
            }
            // Another process may record its cluster at the same time.
            diesel::insert_or_ignore_into(temporal_cluster::table)
                .values(cluster.row())
                .execute(connection)
                .await?;
            recorded(connection)
                .await?
                .ok_or_else(|| StoreError::Corrupt("no Temporal cluster is recorded".to_owned()))
        })
    }

    /// Replaces the recorded cluster with `cluster`, and returns the previous one.
    pub async fn move_to_temporal_cluster(
        &self,
        cluster: &TemporalCluster,
        entry: &NewAuditEntry,
    ) -> StoreResult<Option<TemporalCluster>> {
        transaction!(self, connection => {
            let earlier = recorded(connection).await?;
            diesel::replace_into(temporal_cluster::table)
                .values(cluster.row())
                .execute(connection)
                .await?;
            let entry = entry.clone().with("from", earlier.as_ref().map(ToString::to_string));
            log::append(connection, &entry.with("to", cluster.to_string())).await?;
            Ok(earlier)
        })
    }
}

async fn recorded(connection: &mut Connection) -> StoreResult<Option<TemporalCluster>> {
    let recorded = temporal_cluster::table
        .find(ONLY_ROW)
        .select((temporal_cluster::namespace, temporal_cluster::cluster_id))
        .first(connection)
        .await
        .optional()?;
    Ok(recorded)
}
