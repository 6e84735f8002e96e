//! What an e-mail says: one pair of templates (HTML and text) for each kind, in `templates/`.

use crate::report::Report;
use askama::Template;
use chrono::Utc;
use diagflow_store::{Delivery, DeliveryKind, EmailAddress, FailureCode};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use url::Host;

/// An e-mail, ready to be made into a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailContent {
    /// The subject.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
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
    "The analysis of your images did not succeed. This can happen when an image is too dark, blurred \
     or shows something that cannot be analysed.",
    "You can send your images again: sharp, in daylight, close up. If it does not work a second time, \
     answer this e-mail and we will look into it.",
];
const FAILED_BY_US: [&str; 3] = [
    "We could not complete your diagnosis",
    "Something went wrong on our side before your images were analysed. Your images are not the cause.",
    "You need not do anything: our staff can see this and may set it going again, and you will then \
     hear from us. You can also send your images again.",
];
const TIMED_OUT: [&str; 3] = [
    "Your diagnosis took too long",
    "The analysis of your images did not finish in time, so we have stopped waiting for it. Your \
     images are not the cause.",
    "You need not do anything: our staff can see this and may set it going again, and you will then \
     hear from us. You can also send your images again.",
];
const CANCELLED: [&str; 3] = [
    "Your submission was cancelled",
    "The analysis of your images was called off, so there will be no result.",
    "If you did not ask for this, answer this e-mail. You can send your images again at any time.",
];

/// The address as it is sent to. A domain beyond ASCII is written as every mail server can read it (RFC 5891),
/// so that only a name beyond ASCII asks for SMTPUTF8.
fn with_ascii_domain(to: &EmailAddress) -> anyhow::Result<Address> {
    let (name, domain) = to.as_str().rsplit_once('@').unwrap_or((to.as_str(), ""));
    if domain.is_ascii() {
        return Ok(to.as_str().parse()?);
    }
    Ok(Address::new(name, Host::parse(domain)?.to_string())?)
}

impl EmailContent {
    /// Writes the e-mail for a delivery. `report` is used for a result only, `error_code` for a failure: why it
    /// failed decides what its patient can do.
    ///
    /// # Errors
    /// When a template cannot be filled in.
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

    /// Makes the message. Its Message-ID is the delivery's own, so that a mail server or a reader that
    /// gets it twice can tell.
    ///
    /// # Errors
    /// When the address cannot stand in a message.
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
        // RFC 3834: keeps out-of-office answers from coming back.
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
        Ok(message)
    }
}
