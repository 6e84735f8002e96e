use crate::auth::permissions::Permission;
use crate::pages::console::context::ConsoleContext;
use diagflow_store::Submission;

/// What the caller may do with a submission in its current state.
pub(super) struct Actions {
    pub(super) cancel: bool,
    pub(super) retry: bool,
    /// Send an e-mail of the latest run again.
    pub(super) resend: bool,
    /// Send an e-mail again when its address is corrected.
    pub(super) may_resend: bool,
    pub(super) correct: bool,
    /// Set the note and the assignee.
    pub(super) update: bool,
    pub(super) revoke_token: bool,
    pub(super) delete: bool,
    pub(super) restore: bool,
    pub(super) erase: bool,
}

impl Actions {
    pub(super) fn new(submission: &Submission, context: &ConsoleContext) -> Self {
        use Permission::{
            DeliveriesResend, SubmissionsCancel, SubmissionsCorrect, SubmissionsDelete,
            SubmissionsErase, SubmissionsRetry, SubmissionsUpdate,
        };
        let is_final = submission.status.is_final();
        let is_deleted = submission.deleted_at.is_some();
        let is_erased = submission.erased_at.is_some();
        let may = |permission| !is_erased && context.has_permission(permission);
        let may_if_present = |permission| !is_deleted && may(permission);
        Self {
            cancel: !is_final && may_if_present(SubmissionsCancel),
            retry: is_final && may_if_present(SubmissionsRetry),
            resend: is_final && may_if_present(DeliveriesResend),
            may_resend: may(DeliveriesResend),
            correct: may_if_present(SubmissionsCorrect),
            update: may_if_present(SubmissionsUpdate),
            revoke_token: submission.token_revoked_at.is_none()
                && may_if_present(SubmissionsUpdate),
            delete: is_final && may_if_present(SubmissionsDelete),
            restore: is_deleted && may(SubmissionsDelete),
            erase: may(SubmissionsErase),
        }
    }

    /// Whether there are actions beside those of the page's header and of its other sections.
    pub(super) fn any_other(&self) -> bool {
        self.correct || self.revoke_token || self.delete || self.restore || self.erase
    }
}
