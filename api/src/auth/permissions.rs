//! What each role may do: the one table. Routes ask for a permission, never for a role.

use diagflow_store::Role;

/// One thing that a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    /// Sign out, change one's password, see and end one's own sessions.
    AccountSelf,
    /// List submissions, and read what happened to each.
    SubmissionsRead,
    /// Read the submissions that this account sent.
    SubmissionsReadOwn,
    /// Read what is medical about a submission: images, comments, result.
    ClinicalRead,
    /// Read the workflow history of a submission.
    HistoryRead,
    /// Call a submission off.
    SubmissionsCancel,
    /// Set a submission going again.
    SubmissionsRetry,
    /// Delete and restore a submission.
    SubmissionsDelete,
    /// Export what a filter matches.
    SubmissionsExport,
    /// Send an e-mail again.
    DeliveriesResend,
    /// Read accounts, their sessions and API keys.
    UsersRead,
    /// Change accounts, end their sessions, make and revoke API keys.
    UsersWrite,
    /// Read the audit.
    AuditRead,
}

use Permission::*;

/// The table.
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
    /// Its name in `/openapi.json`, in answers and in the audit.
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

    /// What `role` may do.
    pub(crate) fn of(role: Role) -> &'static [Permission] {
        ALLOWED.iter().find(|(listed, _)| *listed == role).map_or(&[], |(_, allowed)| allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_listed_once_and_only_admins_may_change_accounts() {
        for role in Role::ALL {
            assert_eq!(ALLOWED.iter().filter(|(listed, _)| *listed == role).count(), 1, "{role}");
            let own = Permission::of(role).contains(&SubmissionsReadOwn);
            let all = Permission::of(role).contains(&SubmissionsRead);
            assert!(own != all, "{role} reads its own or all");
            let writes = Permission::of(role).contains(&UsersWrite);
            assert_eq!(writes, role == Role::Admin, "{role}");
        }
    }
}
