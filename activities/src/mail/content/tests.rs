use super::*;
use diagflow_store::{
    DeliveryId, DeliveryStatus, DiagnosisResult, EmailLinkKey, SubmissionId, UtcTime,
};
use serde_json::{Value, json};
use std::num::NonZeroU32;

const ENDED: [(DeliveryKind, Option<&str>); 4] = [
    (DeliveryKind::Failed, Some("loopai_failed")),
    (DeliveryKind::Failed, None),
    (DeliveryKind::TimedOut, None),
    (DeliveryKind::Cancelled, None),
];

fn delivery(kind: DeliveryKind) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        submission_id: SubmissionId::new(),
        run_number: 1,
        kind,
        status: DeliveryStatus::Planned,
        attempts: 0,
        error_code: None,
        error_detail: None,
        created_at: UtcTime::default(),
        settled_at: None,
        copy: 0,
    }
}

fn options(content: MailContent, retention_days: u32) -> EmailOptions {
    EmailOptions {
        content,
        links: EmailLinks {
            key: EmailLinkKey::new(&"a secret".into()),
            public_url: "https://diagflow.example".parse().expect("an address"),
            lifetime_hours: 72,
        },
        retention: NonZeroU32::new(retention_days).map(RetentionPeriod::of_days),
    }
}

fn report(result: Value) -> Report {
    let Value::Object(object) = result else { panic!("a result is an object") };
    Report::from_result(&DiagnosisResult::new(object))
}

fn render(
    kind: DeliveryKind,
    code: Option<&str>,
    language: Language,
    options: &EmailOptions,
) -> EmailContent {
    let report = report(json!({"summary": "All well", "findings": ["Mole"]}));
    EmailContent::render(&delivery(kind), &report, code, language, options).expect("rendered")
}

fn result_email(result: Value) -> [String; 2] {
    let (delivery, options) = (delivery(DeliveryKind::Result), options(MailContent::Full, 0));
    let report = report(result);
    let email = EmailContent::render(&delivery, &report, None, Language::English, &options);
    let EmailContent { text, html, .. } = email.expect("rendered");
    [text, html]
}

fn all_kinds() -> impl Iterator<Item = (DeliveryKind, Option<&'static str>)> {
    ENDED.into_iter().chain([(DeliveryKind::Result, None), (DeliveryKind::Link, None)])
}

#[test]
fn every_email_states_how_long_the_data_is_stored() {
    for (days, language, expected) in [
        (0, Language::English, "until you ask us to delete them. To ask us,"),
        (1, Language::English, "delete them, but not longer than one day. To ask us,"),
        (30, Language::English, "delete them, but not longer than 30 days. To ask us,"),
        (0, Language::German, "bis Sie uns bitten, sie zu löschen. Antworten Sie dazu"),
        (30, Language::German, "sie zu löschen, aber nicht länger als 30 Tage. Antworten"),
    ] {
        for content in [MailContent::Full, MailContent::Link] {
            for (kind, code) in all_kinds() {
                let email = render(kind, code, language, &options(content, days));
                for body in [email.text, email.html] {
                    assert!(body.contains(expected), "{kind}: {body}");
                }
            }
        }
    }
}

#[test]
fn every_email_without_a_result_asks_for_photos_again() {
    for (kind, code) in ENDED {
        let email = render(kind, code, Language::English, &options(MailContent::Full, 0));
        let expected = ["send your photos again", "take new photos and send them"];
        assert!(expected.iter().any(|it| email.text.contains(it)), "{}", email.text);
    }
}

#[test]
fn every_email_has_one_link_which_a_repeated_attempt_does_not_change() {
    let options = options(MailContent::Full, 0);
    for (kind, code) in all_kinds() {
        let delivery = delivery(kind);
        let [first, second] = [(); 2].map(|()| {
            let report = Report::default();
            EmailContent::render(&delivery, &report, code, Language::English, &options)
        });
        let email = first.expect("rendered");
        assert_eq!(email, second.expect("rendered"));
        let start = format!("https://diagflow.example/s/{}/open/", delivery.submission_id);
        for body in [&email.text, &email.html] {
            assert_eq!((body.matches("http").count(), body.matches(&start).count()), (1, 1));
        }
        let (_, code) = email.text.split_once(&start).expect("a link");
        let code = code.split_whitespace().next().expect("a code");
        let code = options.links.key.verify(code).expect("a valid code");
        assert_eq!((code.delivery, code.expires), (delivery.id, 72 * 60 * 60));
    }
}

#[test]
fn an_email_with_only_the_link_contains_no_part_of_the_result() {
    for language in Language::ALL {
        let email = render(DeliveryKind::Result, None, *language, &options(MailContent::Link, 0));
        for body in [&email.text, &email.html] {
            assert!(!body.contains("All well") && !body.contains("Mole"), "{body}");
            assert!(body.contains("https://diagflow.example/s/"), "{body}");
        }
        assert_eq!(email.subject, language.text("email-ready-headline").to_string());
    }
}

#[test]
fn a_text_has_an_empty_line_between_its_parts() {
    let [text, _] = result_email(json!({
        "notice": "Simulated",
        "summary": "All well",
        "findings": ["Mole"],
        "recommendations": ["Rest"],
    }));
    let parts: Vec<_> = text.split("\n\n").filter_map(|part| part.lines().next()).collect();
    let expected = [
        "Your diagnosis result",
        "Thank you for waiting. The analysis of your photos is complete. Here is the result.",
        "Please note: Simulated",
        "All well",
        "WHAT WAS FOUND",
        "WHAT IS RECOMMENDED",
        "Open my result:",
        "WHAT TO DO NEXT",
        "WHAT HAPPENS TO YOUR DATA",
    ];
    assert_eq!(parts[..parts.len() - 1], expected, "{text}");
    let last = parts.last().expect("a part");
    assert!(last.starts_with("Reference: "), "{last}");

    let ended =
        render(DeliveryKind::TimedOut, None, Language::German, &options(MailContent::Full, 0));
    let parts: Vec<_> = ended.text.split("\n\n").filter_map(|part| part.lines().next()).collect();
    assert_eq!(parts.len(), 6, "{}", ended.text);
    assert_eq!(parts[3], "WAS SIE JETZT TUN KÖNNEN");
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
    for external in ["src=", "url(", "@import", "<link", "<table"] {
        assert!(!html.contains(external), "{external} in {html}");
    }
}
