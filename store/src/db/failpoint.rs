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
    BytesUnstored,
    /// Everything of a submission is written, but not committed.
    SubmissionUncommitted,
    /// A submission is committed, its sender not answered.
    SubmissionStored,
    /// A run is about to be started.
    RunUnstarted,
    /// Temporal has started a run; the records do not know.
    RunStarted,
    /// A sweep has chosen runs that wait, and not claimed them yet.
    SweepUnclaimed,
    /// The worker knows the run that is to be requested; LoopAI does not.
    RequestBegun,
    /// The run has its place at LoopAI, which does not know of it yet.
    RequestAdmitted,
    /// LoopAI took the request; the records do not know.
    RequestAnswered,
    /// The records know that LoopAI took it; Temporal does not.
    RequestRecorded,
    /// The worker is about to look.
    LookBegun,
    /// LoopAI answered the look; the records do not know.
    LookAnswered,
    /// What the look brought is recorded; Temporal does not know.
    LookRecorded,
    /// The worker is about to record an end.
    EndBegun,
    /// The end is recorded; Temporal does not know.
    EndRecorded,
    /// The worker knows which e-mail is owed, and has claimed nothing.
    MailBegun,
    /// The e-mail is claimed, its text not sent.
    MailClaimed,
    /// The mail server took the e-mail; the ledger does not know.
    MailTaken,
    /// The ledger knows what became of the e-mail; Temporal does not.
    MailSettled,
}

impl Failpoint {
    /// Those in a worker's activities, in the order in which a submission passes them.
    pub const OF_ACTIVITIES: [Failpoint; 13] = [
        Failpoint::RequestBegun,
        Failpoint::RequestAdmitted,
        Failpoint::RequestAnswered,
        Failpoint::RequestRecorded,
        Failpoint::LookBegun,
        Failpoint::LookAnswered,
        Failpoint::LookRecorded,
        Failpoint::EndBegun,
        Failpoint::EndRecorded,
        Failpoint::MailBegun,
        Failpoint::MailClaimed,
        Failpoint::MailTaken,
        Failpoint::MailSettled,
    ];

    /// Its name, which is that of its file.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Passes the boundary, once no test holds whoever comes here.
    pub async fn pass(self) {
        #[cfg(debug_assertions)]
        held::wait(self).await;
    }
}

#[cfg(debug_assertions)]
mod held {
    use super::Failpoint;
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::time::Duration;

    static FOLDER: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("DIAGFLOW_FAILPOINTS").map(PathBuf::from));
    const LOOK_EVERY: Duration = Duration::from_millis(5);

    pub(super) async fn wait(boundary: Failpoint) {
        let Some(folder) = &*FOLDER else { return };
        let armed = folder.join(boundary.name());
        let reached = armed.with_extension("reached");
        // One of those who come is held; a rename succeeds once.
        if std::fs::rename(&armed, &reached).is_err() {
            return;
        }
        while reached.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
