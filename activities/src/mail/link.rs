//! The link in each e-mail, which opens the submission's page on another device.

use diagflow_store::{Delivery, EmailLinkCode, EmailLinkKey};
use url::Url;

#[derive(Clone)]
pub struct EmailLinks {
    pub key: EmailLinkKey,
    pub public_url: Url,
    pub lifetime_hours: u32,
}

#[derive(Debug)]
pub(super) struct EmailLink {
    pub(super) url: String,
    pub(super) hours: u32,
}

impl EmailLinks {
    /// The lifetime begins when the e-mail is planned, so a repeated attempt sends the same link.
    pub(super) fn link(&self, delivery: &Delivery) -> EmailLink {
        let planned = delivery.created_at.micros() / 1_000_000;
        let expires = planned + i64::from(self.lifetime_hours) * 60 * 60;
        let code = EmailLinkCode { delivery: delivery.id, expires };
        let path = self.key.path(delivery.submission_id, code);
        let url = format!("{}{path}", self.public_url.as_str().trim_end_matches('/'));
        EmailLink { url, hours: self.lifetime_hours }
    }
}
