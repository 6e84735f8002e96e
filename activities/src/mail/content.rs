//! Renders the e-mails sent to patients from the HTML and text templates in `templates/` and the texts in `locales/`.

use super::email_report::EmailReport;
use super::link::{EmailLink, EmailLinks};
use super::settings::MailContent;
use askama::Template;
use chrono::Utc;
use diagflow_locales::{Language, Text};
use diagflow_store::{Delivery, DeliveryKind, EmailAddress, FailureCode, Report, RetentionPeriod};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

#[derive(Clone)]
pub struct EmailOptions {
    pub content: MailContent,
    pub links: EmailLinks,
    /// The time after which patients' data is erased.
    pub retention: Option<RetentionPeriod>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailContent {
    subject: String,
    text: String,
    html: String,
    language: Language,
}

/// What every e-mail contains.
struct Email {
    language: Language,
    link: EmailLink,
    subject: Subject,
    reference: String,
    retention: Option<RetentionPeriod>,
}

/// What an e-mail is about, which determines its link and what it says about the patient's data.
#[derive(Clone, Copy)]
enum Subject {
    /// The e-mail contains the result.
    Result,
    /// There is a result, but the e-mail does not contain it.
    ResultOnPage,
    /// There is no result.
    End,
    Submission,
}

impl Email {
    fn text(&self, key: &'static str) -> Text {
        self.language.text(key)
    }

    fn link_label(&self) -> Text {
        match self.subject {
            Subject::Result | Subject::ResultOnPage => self.text("email-link-open-result"),
            Subject::End | Subject::Submission => self.text("email-link-open-submission"),
        }
    }

    fn data_notice(&self) -> Text {
        let text = match self.subject {
            Subject::Result => self.text("email-data-result"),
            Subject::ResultOnPage | Subject::Submission => self.text("email-data-all"),
            Subject::End => self.text("email-data-end"),
        };
        text.arg("days", self.retention.map_or(0, RetentionPeriod::days))
    }
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultHtml<'a> {
    email: &'a Email,
    headline: &'a str,
    report: &'a EmailReport,
}

#[derive(Template)]
#[template(path = "result.txt")]
struct ResultText<'a> {
    email: &'a Email,
    headline: &'a str,
    report: &'a EmailReport,
}

/// An e-mail with a headline, what happened, and what to do.
#[derive(Template)]
#[template(path = "short.html")]
struct ShortHtml<'a> {
    email: &'a Email,
    headline: &'a str,
    what_happened: &'a Text,
    what_to_do: &'a Text,
}

#[derive(Template)]
#[template(path = "short.txt")]
struct ShortText<'a> {
    email: &'a Email,
    headline: &'a str,
    what_happened: &'a Text,
    what_to_do: &'a Text,
}

impl EmailContent {
    /// Renders the e-mail for a delivery. Only result e-mails contain the report. In a failure e-mail, the advice
    /// depends on `error_code`.
    pub fn render(
        delivery: &Delivery,
        report: &Report,
        error_code: Option<&str>,
        language: Language,
        options: &EmailOptions,
    ) -> Result<EmailContent, askama::Error> {
        let subject = match (delivery.kind, options.content) {
            (DeliveryKind::Result, MailContent::Full) => Subject::Result,
            (DeliveryKind::Result, MailContent::Link) => Subject::ResultOnPage,
            (DeliveryKind::Failed | DeliveryKind::TimedOut | DeliveryKind::Cancelled, _) => {
                Subject::End
            }
            (DeliveryKind::Link, _) => Subject::Submission,
        };
        let email = Email {
            language,
            link: options.links.link(delivery),
            subject,
            reference: delivery.submission_id.to_string(),
            retention: options.retention,
        };
        match subject {
            Subject::Result => Self::result(&email, &EmailReport::new(report, language)),
            _ => Self::short(&email, texts(delivery.kind, error_code, language)),
        }
    }

    fn result(email: &Email, report: &EmailReport) -> Result<EmailContent, askama::Error> {
        let headline = email.text("email-result-headline").to_string();
        let text = ResultText { email, headline: &headline, report }.render()?;
        let html = ResultHtml { email, headline: &headline, report }.render()?;
        Ok(EmailContent { subject: headline, text, html, language: email.language })
    }

    fn short(email: &Email, texts: [Text; 3]) -> Result<EmailContent, askama::Error> {
        let [headline, what_happened, what_to_do] = &texts;
        let headline = headline.to_string();
        let text = ShortText { email, headline: &headline, what_happened, what_to_do }.render()?;
        let html = ShortHtml { email, headline: &headline, what_happened, what_to_do }.render()?;
        Ok(EmailContent { subject: headline, text, html, language: email.language })
    }

    /// Builds the message. The Message-ID contains the delivery id so that duplicates can be recognised.
    pub fn into_message(
        self,
        delivery: &Delivery,
        from: &Mailbox,
        to: &EmailAddress,
    ) -> anyhow::Result<Message> {
        let message_id = format!("<{}@{}>", delivery.id, from.email.domain());
        // `envelope_parts` has already validated the address. lettre would reject or alter some valid addresses.
        let (local_part, domain) = to.envelope_parts()?;
        let to = Address::new_dangerous(local_part, domain);
        let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()])?;
        let mut message = Message::builder()
            .envelope(envelope)
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(self.subject)
            .message_id(Some(message_id))
            .date(Utc::now().into())
            .multipart(MultiPart::alternative_plain_html(self.text, self.html))?;
        // `Auto-Submitted` suppresses out-of-office replies (RFC 3834).
        for (name, value) in
            [("Auto-Submitted", "auto-generated"), ("Content-Language", self.language.tag())]
        {
            let name = HeaderName::new_from_ascii_str(name);
            message.headers_mut().insert_raw(HeaderValue::new(name, value.to_owned()));
        }
        Ok(message)
    }
}

/// Returns the headline, what happened, and what to do. The advice must be consistent with the messages in the event
/// stream.
fn texts(kind: DeliveryKind, error_code: Option<&str>, language: Language) -> [Text; 3] {
    let is_photos_fault = error_code == Some(FailureCode::LoopaiFailed.as_str());
    match kind {
        DeliveryKind::Result => [
            language.text("email-ready-headline"),
            language.text("email-ready-text"),
            language.text("email-result-advice"),
        ],
        DeliveryKind::Failed if is_photos_fault => [
            language.text("email-failed-headline"),
            language.text("email-failed-text"),
            language.text("email-failed-advice"),
        ],
        DeliveryKind::Failed => [
            language.text("email-failed-headline"),
            language.text("email-failed-by-us-text"),
            language.text("email-send-again"),
        ],
        DeliveryKind::TimedOut => [
            language.text("email-timed-out-headline"),
            language.text("email-timed-out-text"),
            language.text("email-send-again"),
        ],
        DeliveryKind::Cancelled => [
            language.text("email-cancelled-headline"),
            language.text("email-cancelled-text"),
            language.text("email-cancelled-advice"),
        ],
        DeliveryKind::Link => [
            language.text("email-new-link-headline"),
            language.text("email-new-link-text"),
            language.text("email-new-link-advice"),
        ],
    }
}

#[cfg(test)]
mod tests;
