//! The texts of the timeline.

use crate::pages::console::context::ConsoleContext;
use crate::pages::console::submission::timeline::What;

impl What {
    /// Returns what happened, in one sentence.
    pub(super) fn text(&self, page: &ConsoleContext) -> String {
        match self {
            Self::Event { step, .. } => page.text_for("console-submission-event", step),
            Self::RunStarted { run, .. } => {
                page.text("console-submission-run-started").arg("run", *run).into()
            }
            Self::Polls { count, .. } => {
                page.text("console-submission-polls").arg("count", *count).into()
            }
            Self::Temporal { code: Some(_), .. } => {
                page.text("console-submission-attempt-failed").into()
            }
            Self::Temporal { code: None, .. } => page.text("console-submission-temporal").into(),
            Self::EmailPlanned { kind } => email_text(page, kind, "planned"),
            Self::EmailSettled { kind, status, .. } => email_text(page, kind, status),
            Self::Action { action, .. } => page.text_for("console-action", action),
        }
    }

    /// Returns the cause of a failure in words.
    pub(super) fn cause(&self, page: &ConsoleContext) -> Option<String> {
        match self {
            Self::Temporal { code, .. } | Self::EmailSettled { code, .. } => {
                let code = code.as_deref()?;
                Some(page.text_for("console-cause", code))
            }
            Self::Action { refusal, .. } => {
                let code = refusal.as_deref()?;
                let text = page.language.text_for("console-result", code);
                let refused =
                    || page.text("console-submission-refused").arg("code", code.to_owned());
                Some(text.unwrap_or_else(refused).into())
            }
            _ => None,
        }
    }
}

fn email_text(page: &ConsoleContext, kind: &str, status: &str) -> String {
    let kind = page.text_for("console-submission-email", kind);
    let status = page.text_for("console-submission-email-status", status);
    page.text("console-submission-email-entry").arg("email", kind).arg("status", status).into()
}

#[cfg(test)]
mod tests {
    use diagflow_locales::Language;
    use diagflow_store::{DeliveryKind, DeliveryStatus, FailureCode, Step};
    use std::fmt::Display;
    use strum::IntoEnumIterator;

    fn assert_all(prefix: &str, names: impl Iterator<Item = impl Display>) {
        for name in names {
            for language in Language::ALL {
                let name = name.to_string();
                assert!(
                    language.text_for(prefix, &name).is_some(),
                    "{prefix}-{name} in {language}"
                );
            }
        }
    }

    #[test]
    fn every_step_and_every_failure_code_has_a_text() {
        assert_all("console-cause", FailureCode::iter());
        let steps = Step::iter().filter(|step| !step.name().starts_with("mail_"));
        assert_all("console-submission-event", steps);
    }

    #[test]
    fn every_kind_and_every_status_of_an_email_has_a_text() {
        use strum::VariantNames;
        assert_all("console-submission-email", DeliveryKind::VARIANTS.iter());
        assert_all("console-submission-email-status", DeliveryStatus::VARIANTS.iter());
    }
}
