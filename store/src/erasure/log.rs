//! The erasure log: a file outside the database to which every erasure appends its receipt. After the database has been
//! restored from a backup, the erasures in this file must be repeated.

use crate::erasure::receipt::ErasureReceipt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// A network drive that does not respond can block a write indefinitely.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A file with one JSON receipt per line. Several processes may append to the same file. Clones share one turn.
#[derive(Debug, Clone)]
pub struct ErasureLog {
    path: Arc<PathBuf>,
    turns: Arc<Semaphore>,
    time_limit: Duration,
}

/// Permission to append to the log. A write that has exceeded the time limit holds the turn until it ends.
pub(super) struct LogTurn {
    log: ErasureLog,
    permit: Arc<OwnedSemaphorePermit>,
}

impl ErasureLog {
    pub fn new(path: PathBuf) -> Self {
        Self { path: Arc::new(path), turns: Arc::new(Semaphore::new(1)), time_limit: TIME_LIMIT }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other erasure of this process uses the log. Call this before using a database connection, so that
    /// a log that does not respond holds only one connection.
    pub(super) async fn turn(&self) -> io::Result<LogTurn> {
        tracing::debug!("waiting for a turn to write the erasure log");
        let permit = timeout(self.time_limit, self.turns.clone().acquire_owned()).await?;
        let permit = Arc::new(permit.map_err(io::Error::other)?);
        Ok(LogTurn { log: self.clone(), permit })
    }

    /// Reads all lines. A line that is not a receipt is returned with its number, because the receipts after it are
    /// still needed.
    pub fn read(&self) -> io::Result<Vec<Result<ErasureReceipt, usize>>> {
        // An interrupted write may end within a character, so the file is not always valid UTF-8.
        let bytes = std::fs::read(&*self.path)?;
        let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        Ok(lines.map(|(number, line)| serde_json::from_slice(line).map_err(|_| number)).collect())
    }
}

impl LogTurn {
    /// Appends a receipt, and returns once it is on disk. If this fails, the receipt may still be written later.
    pub(super) async fn append(&self, receipt: &ErasureReceipt) -> io::Result<()> {
        let line = serde_json::to_string(receipt).map_err(io::Error::other)?;
        let (path, permit) = (self.log.path.clone(), self.permit.clone());
        let (sender, receiver) = oneshot::channel();
        // A process waits for the runtime's blocking tasks before it exits, but not for a thread.
        std::thread::Builder::new().name("erasure-log".to_owned()).spawn(move || {
            let outcome = append(&path, &line);
            drop(permit);
            // The receiver may have exceeded the time limit.
            let _ = sender.send(outcome);
        })?;
        timeout(self.log.time_limit, receiver).await?.map_err(io::Error::other)?
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // If a process was killed while writing, the last line has no line break.
    let start = if ends_with_line_break(&mut file)? { "" } else { "\n" };
    // Uses a single write so that lines from several processes are not interleaved.
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    file.sync_all()?;
    match path.parent().filter(|_| is_new) {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn ends_with_line_break(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ids::SubmissionId;
    use crate::erasure::receipt::{ErasedBy, ErasureContent, ReceiptKey, RemovedData};
    use tokio::net::unix::pipe;

    fn receipt() -> ErasureReceipt {
        let content = ErasureContent {
            submission_id: SubmissionId::new(),
            erased_at: "2026-12-01T09:30:00.000Z".to_owned(),
            erased_by: ErasedBy { kind: "operator".to_owned(), id: "root".to_owned() },
            reason: "line\nbreak, ä".to_owned(),
            removed: RemovedData::default(),
        };
        ReceiptKey::new(&"a secret".into()).sign(content)
    }

    async fn append_to(log: &ErasureLog, receipt: &ErasureReceipt) -> io::Result<()> {
        log.turn().await?.append(receipt).await
    }

    #[tokio::test]
    async fn receipts_are_readable_after_an_interrupted_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = ErasureLog::new(folder.path().join("erasures.jsonl"));
        let receipt = receipt();
        append_to(&log, &receipt).await.expect("appended");
        let mut file = OpenOptions::new().append(true).open(log.path()).expect("a file");
        let torn = "{\"reason\":\"ä".as_bytes();
        file.write_all(&torn[..torn.len() - 1]).expect("written");
        append_to(&log, &receipt).await.expect("appended");

        let read = log.read().expect("a readable file");

        assert_eq!(read, [Ok(receipt.clone()), Err(2), Ok(receipt)]);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &log.path().metadata().expect("a file").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_write_that_does_not_end_fails_after_the_time_limit_and_holds_its_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("an exit code");
        assert!(made.success());
        let full = pipe::OpenOptions::new().read_write(true).open_sender(&path).expect("a pipe");
        full.writable().await.expect("an empty pipe");
        while full.try_write(&[0; 4096]).is_ok() {}
        let time_limit = Duration::from_millis(50);
        let log = ErasureLog { time_limit, ..ErasureLog::new(path) };

        for _ in 0..2 {
            let error = append_to(&log, &receipt()).await.expect_err("a time limit");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }

        let reader = pipe::OpenOptions::new().open_receiver(log.path()).expect("a pipe");
        reader.readable().await.expect("a full pipe");
        while reader.try_read(&mut [0; 4096]).is_ok() {}
        let patient = ErasureLog { time_limit: TIME_LIMIT, ..log };
        patient.turn().await.expect("a turn after the write has ended");
    }
}
