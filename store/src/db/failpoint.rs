//! Named boundaries between two effects, at which a test can hold a process, to kill it just there or to let
//! it go on later.
//!
//! A test arms a boundary by making a file of its name in the folder that `DIAGFLOW_FAILPOINTS` names. Whoever
//! comes there first renames the file, which tells the test, and waits until it is gone. So a test decides
//! from outside, and learns that it was heard, without a race. Optimised builds, which is what production
//! runs, have none of this. `docs/adr/0011-fault-injection.md` tells why it is done so.

/// A boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failpoint {
    /// The bytes of an image are about to be stored.
    BeforeBlobStored,
    /// Everything of a submission is written, but not committed.
    BeforeSubmissionCommit,
    /// A submission is committed, its sender not answered.
    AfterSubmissionCommit,
    /// A run is about to be started.
    BeforeRunStart,
    /// Temporal has started a run; the records do not know.
    AfterRunStart,
    /// A sweep has chosen runs that wait, and not claimed them yet.
    BeforeRunsClaimed,
    /// The worker knows the run that is to be requested; LoopAI does not.
    BeforeRequest,
    /// The run has its place at LoopAI, which does not know of it yet.
    AfterSlotGranted,
    /// LoopAI took the request; the records do not know.
    AfterRequestAnswered,
    /// The records know that LoopAI took it; Temporal does not.
    AfterRequestRecorded,
    /// The worker is about to look.
    BeforePoll,
    /// LoopAI answered the look; the records do not know.
    AfterPollAnswered,
    /// What the look brought is recorded; Temporal does not know.
    AfterPollRecorded,
    /// The worker is about to record an end.
    BeforeEndRecorded,
    /// The end is recorded; Temporal does not know.
    AfterEndRecorded,
    /// The worker knows which e-mail is owed, and has claimed nothing.
    BeforeMailClaimed,
    /// The e-mail is claimed, its text not sent.
    AfterMailClaimed,
    /// The mail server took the e-mail; the ledger does not know.
    AfterMailAccepted,
    /// The ledger knows what became of the e-mail; Temporal does not.
    AfterMailSettled,
}

impl Failpoint {
    /// Those in a worker's activities, in the order in which a submission passes them.
    pub const IN_ACTIVITIES: [Failpoint; 13] = [
        Failpoint::BeforeRequest,
        Failpoint::AfterSlotGranted,
        Failpoint::AfterRequestAnswered,
        Failpoint::AfterRequestRecorded,
        Failpoint::BeforePoll,
        Failpoint::AfterPollAnswered,
        Failpoint::AfterPollRecorded,
        Failpoint::BeforeEndRecorded,
        Failpoint::AfterEndRecorded,
        Failpoint::BeforeMailClaimed,
        Failpoint::AfterMailClaimed,
        Failpoint::AfterMailAccepted,
        Failpoint::AfterMailSettled,
    ];

    /// Its name, which is that of its file.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Passes the boundary, once no test holds whoever comes here.
    pub async fn pass(self) {
        #[cfg(debug_assertions)]
        hold::wait(self).await;
    }
}

#[cfg(debug_assertions)]
mod hold {
    use super::Failpoint;
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::time::Duration;

    static FOLDER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("DIAGFLOW_FAILPOINTS").map(PathBuf::from));
    const CHECK_INTERVAL: Duration = Duration::from_millis(5);

    pub(super) async fn wait(boundary: Failpoint) {
        let Some(folder) = &*FOLDER else { return };
        let armed = folder.join(boundary.name());
        let reached = armed.with_extension("reached");
        // One of those who come is held; a rename succeeds once.
        if std::fs::rename(&armed, &reached).is_err() {
            return;
        }
        while reached.exists() {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}
