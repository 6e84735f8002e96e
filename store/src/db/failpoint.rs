//! Named points between two side effects where a test can pause a process and then kill or resume it.
//!
//! A test arms a failpoint by creating a file with the failpoint's name in the directory `DIAGFLOW_FAILPOINTS`. The
//! first task to reach the failpoint renames the file, which the test detects, and waits until the test deletes the
//! file. Optimised builds, such as production builds, have no failpoints. See `docs/adr/0011-fault-injection.md`.

/// An `After…` failpoint lies between a side effect and the step that records or reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failpoint {
    BeforeBlobStored,
    BeforeSubmissionCommit,
    AfterSubmissionCommit,
    BeforeRunStart,
    AfterRunStart,
    BeforeRunsClaimed,
    BeforeRequest,
    AfterSlotGranted,
    AfterRequestAnswered,
    AfterRequestRecorded,
    BeforePoll,
    AfterPollAnswered,
    AfterPollRecorded,
    BeforeEndRecorded,
    AfterEndRecorded,
    BeforeMailClaimed,
    AfterMailClaimed,
    AfterMailAccepted,
    AfterMailSettled,
    BeforeErasureCommit,
    AfterErasureCommit,
    AfterErasedFilesDeleted,
}

impl Failpoint {
    /// The failpoints in activities, in the order in which a submission reaches them.
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

    pub fn name(self) -> String {
        format!("{self:?}")
    }

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

    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("DIAGFLOW_FAILPOINTS").map(PathBuf::from));
    const CHECK_INTERVAL: Duration = Duration::from_millis(5);

    pub(super) async fn wait(boundary: Failpoint) {
        let Some(directory) = &*DIRECTORY else { return };
        let armed = directory.join(boundary.name());
        let reached = armed.with_extension("reached");
        // Only one task pauses because the rename succeeds only once.
        if std::fs::rename(&armed, &reached).is_err() {
            return;
        }
        while reached.exists() {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}
