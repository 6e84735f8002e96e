//! Stores each message as an `.eml` file, which any mail client can open.
//!
//! The first header line holds the envelope. It is not part of the message and is removed when the file is read. Files
//! are written under a temporary name and then renamed, so a crash leaves either a complete message or none.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::message::{Envelope, Mail};

const ENVELOPE_HEADER: &[u8] = b"X-Mail-Catcher-Envelope: ";

/// A spool folder. All methods perform blocking disk I/O.
#[derive(Clone)]
pub(super) struct Spool(PathBuf);

/// The envelope in the first header line of a file. JSON escapes line breaks, so the envelope fits on one line.
#[derive(Serialize, Deserialize)]
struct EnvelopeLine {
    from: String,
    to: Vec<String>,
    received_at: DateTime<Utc>,
}

impl Spool {
    /// Opens the folder, creating it if it is missing, and reads its messages, oldest first.
    pub(super) fn open(folder: PathBuf) -> io::Result<(Self, Vec<Mail>)> {
        fs::create_dir_all(&folder)?;
        let mut mails = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "part") {
                // A temporary file was left by a crash. The sender of its message never received a 250 reply.
                fs::remove_file(&path)?;
            } else if let Some(id) = id_of(&path) {
                mails.push(read(id, fs::read(&path)?));
            }
        }
        mails.sort_by_key(|mail| mail.id);
        Ok((Self(folder), mails))
    }

    /// Writes a message durably.
    pub(super) fn write(&self, id: u64, envelope: &Envelope, raw: &[u8]) -> io::Result<()> {
        let line = serde_json::to_vec(&EnvelopeLine {
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            received_at: envelope.received_at,
        })?;
        let path = self.path(id);
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&[ENVELOPE_HEADER, &line, b"\r\n", raw].concat())?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        // Syncing the folder makes the rename durable.
        File::open(&self.0)?.sync_all()
    }

    /// Removes a message if it exists.
    pub(super) fn remove(&self, id: u64) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.0.join(format!("{id:08}.eml"))
    }
}

fn id_of(path: &Path) -> Option<u64> {
    let eml = path.extension()? == "eml";
    let id = path.file_stem()?.to_str()?.parse().ok()?;
    eml.then_some(id)
}

fn read(id: u64, file: Vec<u8>) -> Mail {
    let unknown = || Envelope { from: String::new(), to: Vec::new(), received_at: Utc::now() };
    match split(&file) {
        Some((line, raw)) => Mail::read(
            id,
            Envelope { from: line.from, to: line.to, received_at: line.received_at },
            raw.to_vec(),
        ),
        // A file that was copied into the folder manually has no envelope line.
        None => Mail::read(id, unknown(), file),
    }
}

fn split(file: &[u8]) -> Option<(EnvelopeLine, &[u8])> {
    let rest = file.strip_prefix(ENVELOPE_HEADER)?;
    let end = rest.windows(2).position(|it| it == b"\r\n")?;
    let line = serde_json::from_slice(&rest[..end]).ok()?;
    Some((line, &rest[end + 2..]))
}
