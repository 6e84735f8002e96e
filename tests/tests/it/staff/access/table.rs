//! All routes, and who may call them.

use Rule::{Needs, OfPhotos, OfSubmission, OfToken, Open, Optional, OtherProof};
use diagflow_store::Role;

/// The callers that may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Everybody may call the route, and tokens are ignored.
    Open,
    /// Everybody may call the route. A valid token identifies the caller, and an invalid token is rejected.
    Optional,
    /// The caller needs a signature or a refresh token. Access tokens are ignored.
    OtherProof,
    /// The caller needs the submission's token, the permission `submissions:read`, or the account that sent the
    /// submission.
    OfSubmission,
    /// Like `OfSubmission`, but staff also need `clinical:read`.
    OfPhotos,
    /// The caller needs the submission's token.
    OfToken,
    /// The caller's role needs this permission.
    Needs(&'static str),
}

/// The permissions of each role. This list duplicates `api/src/auth/permissions.rs` so that nobody changes the
/// permissions by accident.
pub(super) const ROLES: &[(Role, &[&str])] = &[
    (
        Role::Admin,
        &[
            "account:self",
            "submissions:read",
            "clinical:read",
            "history:read",
            "submissions:cancel",
            "submissions:retry",
            "submissions:delete",
            "submissions:erase",
            "submissions:update",
            "submissions:correct",
            "submissions:export",
            "deliveries:resend",
            "service:pause",
            "service:read",
            "settings:read",
            "users:read",
            "users:write",
            "audit:read",
        ],
    ),
    (
        Role::Operator,
        &[
            "account:self",
            "submissions:read",
            "history:read",
            "submissions:cancel",
            "submissions:retry",
            "submissions:update",
            "submissions:correct",
            "deliveries:resend",
            "service:pause",
            "service:read",
        ],
    ),
    (Role::Clinician, &["account:self", "submissions:read", "clinical:read", "submissions:update"]),
    (Role::Institution, &["account:self", "submissions:read_own"]),
    (Role::Patient, &["account:self", "submissions:read_own"]),
    (Role::Service, &["submissions:read", "history:read", "submissions:export"]),
];

/// Every route and the callers that may use it.
pub(super) const TABLE: &[(&str, &str, Rule)] = &[
    ("GET", "/health", Open),
    ("GET", "/health/db", Open),
    ("GET", "/ready", Open),
    ("GET", "/version", Open),
    ("GET", "/metrics", Open),
    ("POST", "/api/user/submit", Optional),
    ("POST", "/api/v1/auth/login", Open),
    ("POST", "/api/admin/login", Open),
    ("POST", "/api/v1/auth/refresh", OtherProof),
    ("POST", "/api/hooks/loopai", OtherProof),
    ("GET", "/api/files/{id}", OtherProof),
    ("GET", "/api/user/status/{id}", OfSubmission),
    ("GET", "/api/user/events/{id}", OfSubmission),
    ("GET", "/api/user/files/{id}/{position}", OfPhotos),
    ("GET", "/api/v1/auth/validate", Needs("account:self")),
    ("POST", "/api/v1/auth/logout", Needs("account:self")),
    ("POST", "/api/v1/auth/password", Needs("account:self")),
    ("GET", "/api/v1/auth/sessions", Needs("account:self")),
    ("DELETE", "/api/v1/auth/sessions", Needs("account:self")),
    ("DELETE", "/api/v1/auth/sessions/{session_id}", Needs("account:self")),
    ("GET", "/api/v1/submissions", Needs("submissions:read_own")),
    ("GET", "/api/admin/submissions", Needs("submissions:read")),
    ("GET", "/api/admin/submissions/export", Needs("submissions:export")),
    ("GET", "/api/admin/submissions/{id}", Needs("submissions:read")),
    ("POST", "/api/admin/submissions/{id}/reveal", Needs("submissions:read")),
    ("PATCH", "/api/admin/submissions/{id}", Needs("submissions:update")),
    ("DELETE", "/api/admin/submissions/{id}", Needs("submissions:delete")),
    ("POST", "/api/admin/submissions/{id}/restore", Needs("submissions:delete")),
    ("POST", "/api/admin/submissions/{id}/erase", Needs("submissions:erase")),
    ("POST", "/api/admin/submissions/{id}/revoke-token", Needs("submissions:update")),
    ("POST", "/api/admin/submissions/{id}/cancel", Needs("submissions:cancel")),
    ("POST", "/api/admin/submissions/{id}/retry", Needs("submissions:retry")),
    ("POST", "/api/admin/submissions/cancel", Needs("submissions:cancel")),
    ("POST", "/api/admin/submissions/retry", Needs("submissions:retry")),
    ("POST", "/api/admin/submissions/resend", Needs("deliveries:resend")),
    (
        "POST",
        "/api/admin/submissions/{id}/deliveries/{delivery_id}/resend",
        Needs("deliveries:resend"),
    ),
    ("GET", "/api/admin/submissions/{id}/history", Needs("history:read")),
    ("GET", "/api/admin/submissions/{id}/history/{run_id}/raw", Needs("history:read")),
    ("GET", "/api/admin/files/{id}", Needs("clinical:read")),
    ("GET", "/api/admin/events", Needs("submissions:read")),
    ("GET", "/api/admin/health", Needs("service:read")),
    ("GET", "/api/admin/settings", Needs("settings:read")),
    ("GET", "/api/admin/overview", Needs("submissions:read")),
    ("GET", "/api/admin/pauses", Needs("submissions:read")),
    ("PUT", "/api/admin/pauses/{target}", Needs("service:pause")),
    ("GET", "/api/v1/users", Needs("users:read")),
    ("POST", "/api/v1/users", Needs("users:write")),
    ("GET", "/api/v1/users/{id}", Needs("users:read")),
    ("PUT", "/api/v1/users/{id}", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}", Needs("users:write")),
    ("GET", "/api/v1/users/{id}/sessions", Needs("users:read")),
    ("DELETE", "/api/v1/users/{id}/sessions", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}/sessions/{session_id}", Needs("users:write")),
    ("GET", "/api/v1/users/{id}/keys", Needs("users:read")),
    ("POST", "/api/v1/users/{id}/keys", Needs("users:write")),
    ("DELETE", "/api/v1/users/{id}/keys/{key_id}", Needs("users:write")),
    ("GET", "/api/v1/audit", Needs("audit:read")),
    // These routes must come last because calling them ends or erases the submission.
    ("POST", "/api/user/cancel/{id}", OfToken),
    ("POST", "/api/user/erase/{id}", OfToken),
];
