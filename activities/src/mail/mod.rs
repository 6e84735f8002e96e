//! E-mail: what it says (`content`), how it is handed over (`client`), and the ledger's moves
//! around that ([`Mailer`]).

mod client;
mod content;
mod error;
mod ledger;
mod mailer;
mod pool;
mod settings;

pub use client::SmtpClient;
pub use content::EmailContent;
pub use error::SendError;
pub use mailer::Mailer;
pub use settings::{MAX_RESPONSE_TIMEOUT, MailSettings, SmtpTls};
