//! The content of the e-mails. The templates (HTML and text) are in `templates/`.

use crate::report::Report;
use askama::Template;
use chrono::Utc;
use diagflow_store::{Delivery, DeliveryKind, EmailAddress, FailureCode};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use url::Host;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailContent {
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultHtml<'a> {
    report: &'a Report,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "result.txt")]
struct ResultText<'a> {
    report: &'a Report,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "ended.html")]
struct EndedHtml<'a> {
    headline: &'a str,
    what_happened: &'a str,
    what_to_do: &'a str,
    reference: &'a str,
}

#[derive(Template)]
#[template(path = "ended.txt")]
struct EndedText<'a> {
    headline: &'a str,
    what_happened: &'a str,
    what_to_do: &'a str,
    reference: &'a str,
}

/// Headline, what happened, what to do.
const FAILED: [&str; 3] = [
    "We could not complete your diagnosis",
    "We are sorry: your images could not be analysed. This can happen when a photo is too dark or blurred, or shows \
     something that the analysis does not recognise.",
    "Please take new photos and send them to us. Sharp, bright photos from close up work best. If this does not work \
     either, reply to this e-mail and we will look into it.",
];
const FAILED_BY_US: [&str; 3] = [
    "We could not complete your diagnosis",
    "We are sorry: something went wrong on our side before your images were analysed. There is nothing wrong with \
     your images.",
    NO_ACTION_NEEDED,
];
const TIMED_OUT: [&str; 3] = [
    "Your diagnosis took too long",
    "We are sorry: the analysis of your images took too long, so we stopped waiting for it. There is nothing wrong \
     with your images.",
    NO_ACTION_NEEDED,
];
const CANCELLED: [&str; 3] = [
    "Your submission was cancelled",
    "Your submission was cancelled before the analysis of your images was finished, so there is no result.",
    "If you did not ask for this, please reply to this e-mail. You can send your images again at any time.",
];
const NO_ACTION_NEEDED: &str = "You do not need to do anything. Our team can see what happened and may start your \
     diagnosis again. If so, you will get another e-mail from us. You can also send your images again at any time.";

/// Encodes the domain in ASCII (RFC 5891), so that only a non-ASCII local part needs SMTPUTF8.
fn with_ascii_domain(to: &EmailAddress) -> anyhow::Result<Address> {
    let (name, domain) = to.as_str().rsplit_once('@').unwrap_or((to.as_str(), ""));
    if domain.is_ascii() {
        return Ok(to.as_str().parse()?);
    }
    Ok(Address::new(name, Host::parse(domain)?.to_string())?)
}

impl EmailContent {
    /// Renders the e-mail of a delivery. `report` is used only for a result. `error_code` is used only for a failure,
    /// because what the patient can do depends on its cause.
    pub fn render(
        delivery: &Delivery,
        report: &Report,
        error_code: Option<&str>,
    ) -> Result<EmailContent, askama::Error> {
        let reference = delivery.submission_id.to_string();
        let reference = reference.as_str();
        let [headline, what_happened, what_to_do] = match delivery.kind {
            DeliveryKind::Result => {
                return Ok(EmailContent {
                    subject: "Your diagnosis result".to_owned(),
                    text: ResultText { report, reference }.render()?,
                    html: ResultHtml { report, reference }.render()?,
                });
            }
            DeliveryKind::Failed if error_code == Some(FailureCode::LoopaiFailed.as_str()) => {
                FAILED
            }
            DeliveryKind::Failed => FAILED_BY_US,
            DeliveryKind::TimedOut => TIMED_OUT,
            DeliveryKind::Cancelled => CANCELLED,
        };
        Ok(EmailContent {
            subject: headline.to_owned(),
            text: EndedText { headline, what_happened, what_to_do, reference }.render()?,
            html: EndedHtml { headline, what_happened, what_to_do, reference }.render()?,
        })
    }

    /// The Message-ID contains the delivery's id, so that duplicates can be recognised.
    pub fn into_message(
        self,
        delivery: &Delivery,
        from: &Mailbox,
        to: &EmailAddress,
    ) -> anyhow::Result<Message> {
        let message_id = format!("<{}@{}>", delivery.id, from.email.domain());
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, with_ascii_domain(to)?))
            .subject(self.subject)
            .message_id(Some(message_id))
            .date(Utc::now().into())
            .multipart(MultiPart::alternative_plain_html(self.text, self.html))?;
        // RFC 3834: suppresses out-of-office replies.
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
        Ok(message)
    }
}
