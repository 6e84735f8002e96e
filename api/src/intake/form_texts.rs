use crate::error::ApiResult;
use crate::intake::draft::{Draft, DraftValue};
use crate::intake::store::IdempotencyKey;

/// The texts of a form as entered, so that a page can show the form again if the submission is rejected.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FormTexts {
    pub(crate) email: String,
    pub(crate) comments: String,
    pub(crate) consent: bool,
    pub(crate) idempotency_key: Option<String>,
}

impl FormTexts {
    pub(crate) fn of(draft: &Draft<'_>) -> Self {
        let text = |value: &DraftValue<'_>| value.text().map(str::to_owned);
        Self {
            email: text(&draft.email).unwrap_or_default(),
            comments: text(&draft.comments).unwrap_or_default(),
            consent: draft.consent.is_true(),
            idempotency_key: text(&draft.idempotency_key),
        }
    }

    /// Returns the key in the form's field, for browsers without scripts, which cannot send the header.
    pub(crate) fn idempotency_key(&self) -> ApiResult<Option<IdempotencyKey>> {
        self.idempotency_key.as_deref().map(IdempotencyKey::parse).transpose()
    }
}
