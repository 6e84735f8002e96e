//! The permissions of each role. Routes require a permission, never a role.

use diagflow_store::Role;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    /// Sign out, change your own password, and list and end your own sessions.
    AccountSelf,
    /// List submissions and read their progress.
    SubmissionsRead,
    SubmissionsReadOwn,
    /// Read medical information: images, comments, results.
    ClinicalRead,
    HistoryRead,
    SubmissionsCancel,
    SubmissionsRetry,
    /// Delete and restore submissions.
    SubmissionsDelete,
    SubmissionsExport,
    DeliveriesResend,
    UsersRead,
    /// Create and change accounts, end their sessions, and create and revoke their API keys.
    UsersWrite,
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
            SubmissionsExport,
            DeliveriesResend,
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
            DeliveriesResend,
        ],
    ),
    (Role::Clinician, &[AccountSelf, SubmissionsRead, ClinicalRead]),
    (Role::Institution, &[AccountSelf, SubmissionsReadOwn]),
    (Role::Patient, &[AccountSelf, SubmissionsReadOwn]),
    (Role::Service, &[SubmissionsRead, HistoryRead, SubmissionsExport]),
];

impl Permission {
    /// The name in the API and in the audit log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AccountSelf => "account:self",
            SubmissionsRead => "submissions:read",
            SubmissionsReadOwn => "submissions:read_own",
            ClinicalRead => "clinical:read",
            HistoryRead => "history:read",
            SubmissionsCancel => "submissions:cancel",
            SubmissionsRetry => "submissions:retry",
            SubmissionsDelete => "submissions:delete",
            SubmissionsExport => "submissions:export",
            DeliveriesResend => "deliveries:resend",
            UsersRead => "users:read",
            UsersWrite => "users:write",
            AuditRead => "audit:read",
        }
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
            let writes = Permission::of(role).contains(&UsersWrite);
            assert_eq!(writes, role == Role::Admin, "{role}");
        }
    }
}
