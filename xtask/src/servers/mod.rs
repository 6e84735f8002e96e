//! How each server is started, and how one can tell that it is ready.

mod diagflow;
mod mariadb;
mod temporal;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace::create_private_dir;

pub(crate) use diagflow::Diagflow;
pub(crate) use mariadb::{Accounts, OPTIONS as MARIADB_OPTIONS, start as start_mariadb};
pub(crate) use temporal::{Addresses as TemporalAddresses, start as start_temporal};

/// The folder that holds the data and logs of one running system.
pub(crate) struct SystemFolder {
    folder: PathBuf,
}

impl SystemFolder {
    /// Makes the folders of a system below `folder`.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        let home = Self { folder };
        for part in ["logs", "mariadb", "temporal", "mail", "storage"] {
            create_private_dir(&home.data(part))?;
        }
        Ok(home)
    }

    /// The folder of one server's data.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The log of one server.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(name).with_extension("log")
    }

    /// Where all of it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
