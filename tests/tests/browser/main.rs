//! Tests of the pages in Chromium. `cargo xtask test` installs the browser.

mod console_account;
mod console_pages;
mod console_submission;
mod console_submissions;
mod console_users;
mod email_link;
mod follow;
mod harness;
mod longest_texts;
mod overview;
mod proxy;
mod reference;
mod start_page;
mod submission_page;
mod support;
mod whole_job;
