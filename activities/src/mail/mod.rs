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
pub use content::Letter;
pub use error::SendError;
pub use mailer::Mailer;
pub use settings::{LONGEST_ANSWER, MailSettings, SmtpTls};
