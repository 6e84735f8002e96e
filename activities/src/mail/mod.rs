//! E-mail: what it says (`letter`), how it is handed over (`client`), and the ledger's moves
//! around that ([`Mailer`]).

mod client;
mod entry;
mod error;
mod letter;
mod mailer;
mod pool;
mod settings;

pub use client::SmtpClient;
pub use error::SendError;
pub use letter::Letter;
pub use mailer::Mailer;
pub use settings::{LONGEST_ANSWER, MailSettings, SmtpTls};
