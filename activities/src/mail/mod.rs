//! Sends e-mails to patients. Contains the e-mail content, the SMTP client and the delivery ledger.

mod client;
mod content;
mod email_report;
mod error;
mod image_name;
mod ledger;
mod link;
mod link_schemes;
mod mailer;
mod pool;
mod sanitize;
mod settings;
mod top_level_domains;

pub use client::SmtpClient;
pub use content::{EmailContent, EmailOptions};
pub use error::SendError;
pub use link::EmailLinks;
pub use mailer::Mailer;
pub use settings::{MAX_RESPONSE_TIMEOUT, MailContent, MailSettings, SmtpTls};
