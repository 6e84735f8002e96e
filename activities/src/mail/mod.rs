//! E-mail: its content, the SMTP client, and [`Mailer`], which sends e-mails and records them in the delivery ledger.

mod client;
mod content;
mod email_report;
mod error;
mod image_name;
mod ledger;
mod mailer;
mod pool;
mod sanitize;
mod settings;

pub use client::SmtpClient;
pub use content::EmailContent;
pub use error::SendError;
pub use mailer::Mailer;
pub use settings::{MAX_RESPONSE_TIMEOUT, MailSettings, SmtpTls};
