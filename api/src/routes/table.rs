//! Who may do what, as a table: the routes as they are documented, with the roles that have their permission.

use crate::app::{App, AppState};
use crate::auth::permissions::Permission;
use crate::routes;
use diagflow_store::Role;
use serde_json::Value;
use std::fmt;
use tokio_util::sync::CancellationToken;

/// The methods that a path can have, as the documentation writes them.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A route, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `GET` and so on.
    pub method: String,
    /// With its parameters in braces.
    pub path: String,
    /// What it asks for.
    pub access: Access,
}

/// Whom a route lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody, or whoever brings a signature or a token of the route's own kind.
    Public,
    /// Whoever has the submission's token, the account that sent it, and staff that read submissions.
    Submission,
    /// The roles with this permission.
    Roles {
        /// The permission's name.
        permission: String,
        /// The roles that have it.
        roles: Vec<Role>,
    },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6} {:62} ", self.method, self.path)?;
        match &self.access {
            Access::Public => f.write_str("-                     everybody"),
            Access::Submission => {
                f.write_str("-                     the submission's token, its sender, and staff")
            }
            Access::Roles { permission, roles } => {
                let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
                write!(f, "{permission:21} {}", roles.join(", "))
            }
        }
    }
}

/// Every route of `app`, by path.
///
/// # Panics
/// When the documentation is no JSON, which a test would have found.
pub fn route_table(app: App) -> Vec<Route> {
    let state = AppState::new(app, CancellationToken::new());
    let document = routes::all(&state).into_openapi();
    let document = serde_json::to_value(document).expect("the documentation is JSON");
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
    if let Some(permission) = ways[0]["session"][0].as_str() {
        let has = |role: &Role| Permission::of(*role).iter().any(|own| own.name() == permission);
        let roles = Role::ALL.iter().copied().filter(has).collect();
        return Access::Roles { permission: permission.to_owned(), roles };
    }
    match ways[0].get("bearer") {
        Some(_) => Access::Submission,
        None => Access::Public,
    }
}
