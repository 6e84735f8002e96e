//! Finds or unpacks Chromium and its driver for the browser tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{self, Apt};
use super::{create_atomically, find_program, lock, with_install_hint, wrapper};
use crate::progress::Step;
use crate::workspace::{self, Workspace};

/// The fonts are part of the installation, so that pages look the same on every machine. `chromium-common` is listed,
/// because Chromium finds its data only next to its program, and apt does not download installed dependencies.
const PACKAGES: [&str; 5] =
    ["chromium", "chromium-common", "chromium-driver", "fonts-liberation", "fonts-dejavu-core"];

const FONTS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">usr/share/fonts</dir>
  <alias binding="same"><family>serif</family><prefer><family>Liberation Serif</family></prefer></alias>
  <alias binding="same"><family>monospace</family><prefer><family>Liberation Mono</family></prefer></alias>
  <match target="pattern">
    <edit name="family" mode="append_last"><string>Liberation Sans</string></edit>
  </match>
</fontconfig>
"#;
const RUN_CHROMIUM: &str = r#"export FONTCONFIG_FILE="$home/fonts.conf"
exec "$home/usr/lib/chromium/chromium" "$@"
"#;

pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    /// `chromedriver`, whose version must match the browser's.
    pub(crate) driver: PathBuf,
}

pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Browser> {
    let step = Step::begin("Chromium");
    if let Some((found, version)) = find_on_machine() {
        step.done(format!("Chromium {version} found: {}", found.chromium.display()));
        return Ok(found);
    }
    workspace::create_private_dir(&workspace.tools())?;
    let _lock = lock(workspace)?;
    let home = workspace.tools().join("chromium");
    if !home.exists() {
        install(workspace, &home)
            .map_err(|error| with_install_hint(error, "chromium chromium-driver"))?;
    }
    let found =
        Browser { chromium: home.join("bin/chromium"), driver: home.join("bin/chromedriver") };
    let version = found.version().with_context(|| {
        format!(
            "Chromium in {} cannot be run; delete this folder, and Chromium will be downloaded again",
            home.display()
        )
    })?;
    step.done(format!("Chromium {version} unpacked in {}", workspace.relative(&home)));
    Ok(found)
}

fn find_on_machine() -> Option<(Browser, u32)> {
    let driver = find_program("chromedriver", &[])?;
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    browsers.iter().find_map(|name| {
        let found = Browser { chromium: find_program(name, &[])?, driver: driver.clone() };
        let version = found.version()?;
        Some((found, version))
    })
}

impl Browser {
    /// Returns the major version of the browser and the driver, if they have the same.
    fn version(&self) -> Option<u32> {
        let [browser, driver] = [&self.chromium, &self.driver].map(|program| major(program));
        browser.filter(|_| browser == driver)
    }
}

fn major(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

// `text` has the form `Chromium 156.0.8078.114` or `ChromeDriver 156.0.8078.114 (…)`.
fn parse_major(text: &str) -> Option<u32> {
    let versions = text.split_ascii_whitespace().filter_map(|word| word.split_once('.'));
    versions.filter_map(|(major, _)| major.parse().ok()).next()
}

fn install(workspace: &Workspace, home: &Path) -> Result<()> {
    let apt = Apt::prepare(workspace)?;
    create_atomically(home, |folder| {
        apt.unpack(&PACKAGES.map(str::to_owned), folder)?;
        fs::write(folder.join("fonts.conf"), FONTS)?;
        wrapper::write(folder, "usr/lib/chromium/chromium", "chromium", RUN_CHROMIUM)?;
        wrapper::write_exec(folder, "usr/bin/chromedriver", "chromedriver")
    })?;
    apt::clear(workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(parse_major("Chromium 156.0.8078.114 built on Debian\n"), Some(156));
        assert_eq!(parse_major("Google Chrome 150.0.7871.0 \n"), Some(150));
        assert_eq!(parse_major("ChromeDriver 156.0.8078.114 (ea19-refs/x@{#5})"), Some(156));
        assert_eq!(parse_major("Command '/usr/bin/chromium-browser' requires a snap.\n"), None);
    }
}
