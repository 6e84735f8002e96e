//! The permissions of each role. Routes require a permission, never a role.

use diagflow_store::Role;
use strum::{Display, IntoStaticStr, VariantNames};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantNames)]
pub(crate) enum Permission {
    /// Sign out, change your own password, and list and end your own sessions.
    #[strum(serialize = "account:self")]
    AccountSelf,
    /// List submissions and read their progress.
    #[strum(serialize = "submissions:read")]
    SubmissionsRead,
    #[strum(serialize = "submissions:read_own")]
    SubmissionsReadOwn,
    /// Read medical information: images, comments, results.
    #[strum(serialize = "clinical:read")]
    ClinicalRead,
    #[strum(serialize = "history:read")]
    HistoryRead,
    #[strum(serialize = "submissions:cancel")]
    SubmissionsCancel,
    #[strum(serialize = "submissions:retry")]
    SubmissionsRetry,
    /// Delete and restore submissions.
    #[strum(serialize = "submissions:delete")]
    SubmissionsDelete,
    /// Remove all personal data of submissions.
    #[strum(serialize = "submissions:erase")]
    SubmissionsErase,
    /// Set the note and the assignee of submissions.
    #[strum(serialize = "submissions:update")]
    SubmissionsUpdate,
    /// Correct the e-mail addresses of submissions. The route also requires `SubmissionsUpdate`.
    #[strum(serialize = "submissions:correct")]
    SubmissionsCorrect,
    #[strum(serialize = "submissions:export")]
    SubmissionsExport,
    #[strum(serialize = "deliveries:resend")]
    DeliveriesResend,
    /// Pause and resume requests to LoopAI and e-mails.
    #[strum(serialize = "service:pause")]
    ServicePause,
    /// Read the state of the service's dependencies.
    #[strum(serialize = "service:read")]
    ServiceRead,
    /// Read the settings in use, without secrets.
    #[strum(serialize = "settings:read")]
    SettingsRead,
    #[strum(serialize = "users:read")]
    UsersRead,
    /// Create and change accounts, end their sessions, and create and revoke their API keys.
    #[strum(serialize = "users:write")]
    UsersWrite,
    #[strum(serialize = "audit:read")]
    AuditRead,
}

use Permission::*;

const ALLOWED: &[(Role, &[Permission])] = &[
    (
        Role::Admin,
        &[
            AccountSelf,
            SubmissionsRead,
            ClinicalRead,
            HistoryRead,
            SubmissionsCancel,
            SubmissionsRetry,
            SubmissionsDelete,
            SubmissionsErase,
            SubmissionsUpdate,
            SubmissionsCorrect,
            SubmissionsExport,
            DeliveriesResend,
            ServicePause,
            ServiceRead,
            SettingsRead,
            UsersRead,
            UsersWrite,
            AuditRead,
        ],
    ),
    (
        Role::Operator,
        &[
            AccountSelf,
            SubmissionsRead,
            HistoryRead,
            SubmissionsCancel,
            SubmissionsRetry,
            SubmissionsUpdate,
            SubmissionsCorrect,
            DeliveriesResend,
            ServicePause,
            ServiceRead,
        ],
    ),
    (Role::Clinician, &[AccountSelf, SubmissionsRead, ClinicalRead, SubmissionsUpdate]),
    (Role::Institution, &[AccountSelf, SubmissionsReadOwn]),
    (Role::Patient, &[AccountSelf, SubmissionsReadOwn]),
    (Role::Service, &[SubmissionsRead, HistoryRead, SubmissionsExport]),
];

impl Permission {
    /// Returns the name used in the API and in the audit log.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    pub(crate) fn of(role: Role) -> &'static [Permission] {
        ALLOWED.iter().find(|(listed, _)| *listed == role).map_or(&[], |(_, allowed)| allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_listed_once_and_only_admins_may_change_accounts() {
        for role in Role::ALL.iter().copied() {
            assert_eq!(ALLOWED.iter().filter(|(listed, _)| *listed == role).count(), 1, "{role}");
            let own = Permission::of(role).contains(&SubmissionsReadOwn);
            let all = Permission::of(role).contains(&SubmissionsRead);
            assert!(own != all, "{role} reads either its own submissions or all");
            let has = |permission| Permission::of(role).contains(&permission);
            assert!(
                !has(SubmissionsCorrect) || has(SubmissionsUpdate),
                "{role} has the permission that the route requires"
            );
            let writes = Permission::of(role).contains(&UsersWrite);
            assert_eq!(writes, role == Role::Admin, "{role}");
        }
    }
}
