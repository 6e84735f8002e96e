//! Lists the routes and their access rules, as read from the OpenAPI document.

use crate::app::{App, AppState};
use crate::auth::permissions::Permission;
use crate::openapi::security;
use crate::routes;
use diagflow_store::Role;
use serde_json::Value;
use std::fmt;
use tokio_util::sync::CancellationToken;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: String,
    /// The path, with parameters in braces.
    pub path: String,
    pub access: Access,
}

/// Who may use a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anyone. The handler may still check a signature or another token.
    Public,
    /// Holders of the submission's access token, the account that sent the submission, and staff with
    /// `submissions:read`.
    Submission,
    /// Holders of the submission's access token only.
    SubmissionToken,
    /// Accounts whose role grants the permission.
    Roles { permission: String, roles: Vec<Role> },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6} {:62} ", self.method, self.path)?;
        match &self.access {
            Access::Public => f.write_str("-                     everybody"),
            Access::Submission => {
                f.write_str("-                     the submission's token, its sender, and staff")
            }
            Access::SubmissionToken => f.write_str("-                     the submission's token"),
            Access::Roles { permission, roles } => {
                let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
                write!(f, "{permission:21} {}", roles.join(", "))
            }
        }
    }
}

/// Returns all routes of `app`, sorted by path.
pub fn route_table(app: App) -> Vec<Route> {
    let state = AppState::new(app, CancellationToken::new());
    let document = routes::all(&state).into_openapi();
    let document = serde_json::to_value(document).expect("the documentation is valid JSON");
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let routes = paths.iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(|method| {
            let operation = item.get(method)?;
            let method = method.to_uppercase();
            Some(Route { method, path: path.clone(), access: access(operation) })
        })
    });
    routes.collect()
}

fn access(operation: &Value) -> Access {
    let ways = &operation["security"];
    if let Some(permission) = ways[0][security::SESSION][0].as_str() {
        let has = |role: &Role| Permission::of(*role).iter().any(|own| own.name() == permission);
        let roles = Role::ALL.iter().copied().filter(has).collect();
        return Access::Roles { permission: permission.to_owned(), roles };
    }
    let allows =
        |scheme| ways.as_array().is_some_and(|all| all.iter().any(|way| way.get(scheme).is_some()));
    match (ways[0].get(security::SUBMISSION_TOKEN), allows(security::SESSION)) {
        (Some(_), true) => Access::Submission,
        (Some(_), false) => Access::SubmissionToken,
        (None, _) => Access::Public,
    }
}
