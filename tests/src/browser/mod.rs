//! Drives a real browser. [`Page::check`] reports everything that is wrong with a page as a list of findings.

mod command;
mod driver;
mod findings;
mod log;
mod measurements;
mod page;
mod profile;
mod translations;

pub use measurements::Measurements;
pub use page::Page;
pub use profile::{Language, Profile, Scheme, Screen};

use driver::Driver;

/// A browser, whose pages belong to different people: they share no cookies.
pub struct Browser {
    driver: Driver,
}

impl Browser {
    pub async fn start() -> Browser {
        Browser { driver: Driver::start().await }
    }

    /// Opens a window of its own with this profile. Paths are relative to `base`, such as `http://127.0.0.1:8080`.
    pub async fn open(&self, base: &str, profile: Profile) -> Page {
        Page::open(&self.driver, base, profile).await
    }
}
