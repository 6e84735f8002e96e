//! Audit entries and error messages for the `user` and `after-restore` commands.

use diagflow_store::{
    Action, Actor, ActorKind, AuditKey, NewAuditEntry, ObjectKind, PoolSettings, SUCCESS,
    StoreError, UserId,
};
use nix::unistd::{Uid, User as SystemUser};
use serde_json::Map;

/// Creates an audit entry with the operating-system user as the actor. `user` is the account affected by the action, if
/// any.
pub(super) fn audit_entry(key: &AuditKey, action: Action, user: Option<UserId>) -> NewAuditEntry {
    let uid = Uid::current();
    let system_name = SystemUser::from_uid(uid).ok().flatten().map(|user| user.name);
    NewAuditEntry {
        key: key.clone(),
        actor: Actor { kind: ActorKind::Operator, id: None, name: audit_name(uid, system_name) },
        action,
        object_kind: if user.is_some() { ObjectKind::User } else { ObjectKind::Service },
        object_id: user.map(|id| id.to_string()).unwrap_or_default(),
        result: SUCCESS.to_owned(),
        address: String::new(),
        request_id: String::new(),
        details: Map::new(),
    }
}

/// Returns the actor's name in lower case, like all names in the audit log.
fn audit_name(uid: Uid, system_name: Option<String>) -> String {
    system_name.map_or_else(|| format!("uid {uid}"), |name| name.to_lowercase())
}

/// Replaces a database error with instructions for the operator, since the error text may contain patient data.
pub(super) fn explain(error: anyhow::Error, database: &PoolSettings) -> anyhow::Error {
    let address = database.address();
    match error.downcast::<StoreError>() {
        Ok(StoreError::Unavailable(_)) => {
            anyhow::anyhow!("cannot reach the database at {address} (DATABASE_URL)")
        }
        Ok(_) => {
            anyhow::anyhow!(
                "the database at {address} rejected a statement; check whether `diagflow migrate` has been run"
            )
        }
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_names_are_in_lower_case() {
        assert_eq!(
            audit_name(Uid::from_raw(1000), Some("CLINIC\\Ana.Übel".to_owned())),
            "clinic\\ana.übel"
        );
        assert_eq!(audit_name(Uid::from_raw(1000), None), "uid 1000");
    }
}
