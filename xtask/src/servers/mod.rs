//! Starts each server and waits until it is ready.

mod diagflow;
mod mariadb;
mod temporal;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace::create_private_dir;

pub(crate) use diagflow::{Diagflow, STAFF_EMAIL};
pub(crate) use mariadb::{Accounts, OPTIONS as MARIADB_OPTIONS, start as start_mariadb};
pub(crate) use temporal::{Addresses as TemporalAddresses, start as start_temporal};

pub(crate) struct SystemFolder {
    folder: PathBuf,
}

impl SystemFolder {
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        let home = Self { folder };
        for part in ["logs", "mariadb", "temporal", "mail", "storage"] {
            create_private_dir(&home.data(part))?;
        }
        Ok(home)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(name).with_extension("log")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}
