//! Renders the e-mails sent to patients from the HTML and text templates in `templates/`.

use super::email_report::EmailReport;
use crate::report::Report;
use askama::Template;
use chrono::Utc;
use diagflow_store::{Delivery, DeliveryKind, EmailAddress, FailureCode, RetentionPeriod};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailContent {
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultHtml<'a> {
    report: &'a EmailReport,
    reference: &'a str,
    retention_days: Option<u32>,
}

#[derive(Template)]
#[template(path = "result.txt")]
struct ResultText<'a> {
    report: &'a EmailReport,
    reference: &'a str,
    retention_days: Option<u32>,
}

#[derive(Template)]
#[template(path = "ended.html")]
struct EndedHtml<'a> {
    headline: &'a str,
    what_happened: &'a str,
    what_to_do: &'a str,
    reference: &'a str,
    retention_days: Option<u32>,
}

#[derive(Template)]
#[template(path = "ended.txt")]
struct EndedText<'a> {
    headline: &'a str,
    what_happened: &'a str,
    what_to_do: &'a str,
    reference: &'a str,
    retention_days: Option<u32>,
}

/// A headline, what happened, and what to do. The advice must be consistent with the messages in the event stream.
const FAILED: [&str; 3] = [
    "We could not complete your diagnosis",
    "Sorry, we could not analyse your photos. This can happen when a photo is too dark or blurred, or when it \
     shows something that the analysis does not recognise.",
    "Please take new photos and send them to us, or see a doctor. Sharp, bright photos from close up work best. If \
     the new photos do not work either, reply to this e-mail and we will look into it.",
];
const FAILED_BY_US: [&str; 3] = [
    "We could not complete your diagnosis",
    "Sorry, something went wrong on our side, so we could not analyse your photos. There is nothing wrong with \
     your photos.",
    SEND_AGAIN,
];
const TIMED_OUT: [&str; 3] = [
    "Your diagnosis took too long",
    "Sorry, the analysis of your photos took too long, so we stopped it. There is nothing wrong with your \
     photos.",
    SEND_AGAIN,
];
const CANCELLED: [&str; 3] = [
    "Your submission was cancelled",
    "Your submission was cancelled before we could finish the analysis of your photos, so there is no result.",
    "If you still want a diagnosis, please send your photos again. If you did not ask us to cancel, please reply to \
     this e-mail.",
];
const SEND_AGAIN: &str = "Please send your photos again later, or see a doctor. Our team can see what happened and may \
     restart your diagnosis. If they do, you will get another e-mail from us.";

impl EmailContent {
    /// Renders the e-mail for a delivery. Only result e-mails contain the report. In a failure e-mail, the advice
    /// depends on `error_code`. `retention` is the time after which the patient's data is erased.
    pub fn render(
        delivery: &Delivery,
        report: &Report,
        error_code: Option<&str>,
        retention: Option<RetentionPeriod>,
    ) -> Result<EmailContent, askama::Error> {
        let reference = delivery.submission_id.to_string();
        let reference = reference.as_str();
        let retention_days = retention.map(RetentionPeriod::days);
        let [headline, what_happened, what_to_do] = match delivery.kind {
            DeliveryKind::Result => {
                let report = &EmailReport::new(report);
                return Ok(EmailContent {
                    subject: "Your diagnosis result".to_owned(),
                    text: ResultText { report, reference, retention_days }.render()?,
                    html: ResultHtml { report, reference, retention_days }.render()?,
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
            text: EndedText { headline, what_happened, what_to_do, reference, retention_days }
                .render()?,
            html: EndedHtml { headline, what_happened, what_to_do, reference, retention_days }
                .render()?,
        })
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
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::DiagnosisResult;
    use serde_json::{Value, json};

    fn result_email(result: Value) -> [String; 2] {
        let Value::Object(object) = result else { panic!("a result is an object") };
        let report = &EmailReport::new(&Report::from_result(&DiagnosisResult::new(object)));
        let reference = "1";
        let retention_days = None;
        let html = ResultHtml { report, reference, retention_days }.render().expect("rendered");
        [ResultText { report, reference, retention_days }.render().expect("rendered"), html]
    }

    #[test]
    fn every_email_states_how_long_the_data_is_stored() {
        let [headline, what_happened, what_to_do] = FAILED;
        let reference = "";
        for (retention_days, expected) in [
            (None, "until you ask us to delete them. To ask us,"),
            (Some(30), "until you ask us to delete them, but not longer than 30 days. To ask us,"),
        ] {
            let report = &EmailReport::new(&Report::default());
            let texts = [
                ResultText { report, reference, retention_days }.render(),
                ResultHtml { report, reference, retention_days }.render(),
                EndedText { headline, what_happened, what_to_do, reference, retention_days }
                    .render(),
                EndedHtml { headline, what_happened, what_to_do, reference, retention_days }
                    .render(),
            ];
            for text in texts {
                let text = text.expect("rendered");
                assert!(text.contains(expected), "{text}");
            }
        }
    }

    #[test]
    fn every_email_without_a_result_asks_for_photos_again() {
        for [headline, _, what_to_do] in [FAILED, FAILED_BY_US, TIMED_OUT, CANCELLED] {
            let expected = ["send your photos again", "take new photos and send them"];
            assert!(expected.iter().any(|it| what_to_do.contains(it)), "{headline}: {what_to_do}");
        }
    }

    #[test]
    fn an_email_contains_only_known_fields_of_the_result() {
        for body in result_email(json!({
            "summary": "All well",
            "findings": [{"label": "Mole", "confidence": 0.87, "file": "image-2.jpg", "hue": "brown"}],
            "measurements": [{"dominant_colours": [{"hex": "#a0522d"}]}],
        })) {
            for shown in ["All well", "Mole", "87%", "Image 2"] {
                assert!(body.contains(shown), "{shown} in {body}");
            }
            for hidden in ["a0522d", "measurements", "dominant", "hue", "brown", "image-2"] {
                assert!(!body.contains(hidden), "{hidden} in {body}");
            }
        }
    }

    #[test]
    fn an_email_for_a_result_without_known_fields_offers_an_explanation() {
        for body in result_email(json!({"measurements": [1]})) {
            assert!(body.contains("we will explain the result to you"), "{body}");
        }
    }

    #[test]
    fn an_email_for_a_truncated_result_has_a_notice_and_the_recommendations() {
        let long = "lorem ipsum ".repeat(300);
        let many: Vec<_> = (0..60).map(|_| json!({"label": long, "description": long})).collect();
        for body in result_email(json!({"findings": many, "recommendations": ["See a doctor"]})) {
            assert!(body.contains("The result is too long for an e-mail."), "{body}");
            assert!(body.contains("See a doctor"), "{body}");
            assert!(body.len() < 100_000, "{} bytes", body.len());
        }
    }

    #[test]
    fn text_from_loopai_cannot_imitate_email_headings() {
        let [text, html] = result_email(json!({
            "notice": "Simulated\nWHAT TO DO NEXT",
            "summary": "Fine\nWHAT TO DO NEXT",
            "findings": [{"label": "Mole\nWHAT TO DO NEXT", "description": "Fine\nWHAT TO DO NEXT\nPay"}],
            "recommendations": ["Rest\nWHAT TO DO NEXT"],
        }));
        assert_eq!(text.lines().filter(|line| *line == "WHAT TO DO NEXT").count(), 1, "{text}");
        assert_eq!(html.matches("What to do next").count(), 1, "{html}");
    }

    #[test]
    fn the_html_supports_small_screens_and_dark_mode_and_loads_no_remote_content() {
        let [_, html] = result_email(json!({"summary": "All well", "findings": ["Mole"]}));
        for expected in [
            "overflow-wrap:anywhere",
            "word-break:break-word",
            "prefers-color-scheme: dark",
            r#"<meta name="color-scheme" content="light dark">"#,
            r#"dir="auto""#,
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
        for external in ["http", "src=", "href=", "url(", "@import", "<link", "<table"] {
            assert!(!html.contains(external), "{external} in {html}");
        }
    }
}
