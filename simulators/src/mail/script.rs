//! Fault scripts, which determine the rule that applies at each step of a conversation.

use std::{collections::HashMap, sync::Mutex};

use serde::{Deserialize, Serialize};

use crate::sync::lock;

/// A step of an SMTP conversation at which a fault can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The fault replaces the greeting.
    Connect,
    /// The fault replaces the reply to EHLO or HELO.
    Ehlo,
    /// The fault replaces the reply to AUTH.
    Auth,
    /// The fault replaces the reply to MAIL FROM.
    Mail,
    /// The fault replaces the reply to RCPT TO.
    Rcpt,
    /// The fault replaces the 354 reply to DATA.
    Data,
    /// The fault replaces the 250 reply after the whole message has arrived.
    Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sends an error reply. The connection is closed after a 421 and at [`Step::Connect`].
    Reply {
        code: u16,
        /// One line of text, usually with an enhanced status code, such as `4.7.1 Try later`.
        text: String,
    },
    /// Closes the connection without replying. At [`Step::Body`], the message is not stored.
    Drop,
    /// Stores the message, then closes the connection without replying ([`Step::Body`] only).
    DropAfterAccept,
    /// Sends nothing until the client disconnects. At [`Step::Body`], the message is not stored.
    Stall,
    /// Stores the message, then sends nothing ([`Step::Body`] only).
    StallAfterAccept,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub step: Step,
    pub action: Action,
    /// Number of times the rule applies. `None` means no limit.
    #[serde(default)]
    pub times: Option<u32>,
    /// Recipient that the rule is limited to. At [`Step::Rcpt`], the command must contain this recipient. At
    /// [`Step::Data`] and [`Step::Body`], the server must have accepted it.
    #[serde(default)]
    pub recipient: Option<String>,
    /// Whether `times` is counted per recipient ([`Step::Rcpt`] only).
    #[serde(default)]
    pub per_recipient: bool,
}

impl Rule {
    pub fn new(step: Step, action: Action) -> Self {
        Self { step, action, times: None, recipient: None, per_recipient: false }
    }

    pub fn reply(step: Step, code: u16, text: &str) -> Self {
        let text = text.to_owned();
        Self::new(step, Action::Reply { code, text })
    }

    /// Rejects the first attempt for each recipient with 451.
    pub fn greylisting() -> Self {
        let rule = Self::reply(Step::Rcpt, 451, "4.7.1 Greylisted, try again later");
        Self { per_recipient: true, ..rule.times(1) }
    }

    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    #[must_use]
    pub fn only_for(self, recipient: &str) -> Self {
        Self { recipient: Some(recipient.to_owned()), ..self }
    }

    fn check(&self) -> Result<(), &'static str> {
        if let Action::Reply { code, text } = &self.action {
            if !(400..600).contains(code) {
                return Err("the reply code must be between 400 and 599");
            }
            if text.chars().any(char::is_control) {
                return Err("the reply text must be a single line");
            }
        }
        let after_accept = [Action::DropAfterAccept, Action::StallAfterAccept];
        if after_accept.contains(&self.action) && self.step != Step::Body {
            return Err("drop_after_accept and stall_after_accept are only valid at the step body");
        }
        let knows_recipients = matches!(self.step, Step::Rcpt | Step::Data | Step::Body);
        if self.recipient.is_some() && !knows_recipients {
            return Err("recipient is only valid at the steps rcpt, data and body");
        }
        if self.per_recipient && self.step != Step::Rcpt {
            return Err("per_recipient is only valid at the step rcpt");
        }
        Ok(())
    }

    fn matches(&self, step: Step, recipients: &[String]) -> bool {
        let wanted = |recipient: &String| recipients.iter().any(|it| same_address(it, recipient));
        self.step == step && self.recipient.as_ref().is_none_or(wanted)
    }
}

pub(super) fn same_address(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number} of the script is invalid: {reason}")]
pub struct InvalidRule {
    pub number: usize,
    pub reason: &'static str,
}

/// A validated list of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Rules")]
pub struct Script {
    rules: Vec<Rule>,
}

/// A script before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rules: Vec<Rule>,
}

impl Script {
    pub fn new(rules: Vec<Rule>) -> Result<Self, InvalidRule> {
        for (index, rule) in rules.iter().enumerate() {
            rule.check().map_err(|reason| InvalidRule { number: index + 1, reason })?;
        }
        Ok(Self { rules })
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl TryFrom<Rules> for Script {
    type Error = InvalidRule;

    fn try_from(Rules { rules }: Rules) -> Result<Self, Self::Error> {
        Self::new(rules)
    }
}

/// A script, and the number of times each rule has been applied.
pub(super) struct ScriptState(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    script: Script,
    /// Counts by rule and recipient. The recipient is empty unless `per_recipient` is set.
    applied: HashMap<(usize, String), u32>,
}

impl ScriptState {
    pub(super) fn new(script: Script) -> Self {
        Self(Mutex::new(Inner { script, ..Inner::default() }))
    }

    pub(super) fn script(&self) -> Script {
        lock(&self.0).script.clone()
    }

    pub(super) fn set(&self, script: Script) {
        *lock(&self.0) = Inner { script, ..Inner::default() };
    }

    /// Returns the action to perform at `step`. At [`Step::Rcpt`], `recipients` contains the command's recipient. At
    /// other steps, it contains the accepted recipients.
    pub(super) fn next(&self, step: Step, recipients: &[String]) -> Option<Action> {
        let inner = &mut *lock(&self.0);
        let rules = inner.script.rules.iter().enumerate();
        for (index, rule) in rules.filter(|(_, rule)| rule.matches(step, recipients)) {
            let name = match recipients {
                [recipient] if rule.per_recipient => recipient.to_lowercase(),
                _ => String::new(),
            };
            let applied = inner.applied.entry((index, name)).or_default();
            if rule.times.is_none_or(|times| *applied < times) {
                *applied += 1;
                return Some(rule.action.clone());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(recipient: &str) -> [String; 1] {
        [recipient.to_owned()]
    }

    #[test]
    fn greylisting_applies_once_per_recipient() {
        let script = Script::new(vec![Rule::greylisting()]).expect("a valid script");
        let state = ScriptState::new(script);
        assert!(state.next(Step::Rcpt, &to("a@x.example")).is_some());
        assert!(state.next(Step::Rcpt, &to("b@x.example")).is_some());
        assert!(state.next(Step::Rcpt, &to("A@x.example")).is_none());
        assert!(state.next(Step::Mail, &[]).is_none());
    }

    #[test]
    fn rules_apply_in_order_and_match_recipients() {
        let rules = vec![
            Rule::new(Step::Body, Action::Drop).times(1),
            Rule::new(Step::Body, Action::Stall).only_for("b@x.example"),
        ];
        let state = ScriptState::new(Script::new(rules).expect("a valid script"));
        assert_eq!(state.next(Step::Body, &to("b@x.example")), Some(Action::Drop));
        assert_eq!(state.next(Step::Body, &to("a@x.example")), None);
        assert_eq!(state.next(Step::Body, &to("b@x.example")), Some(Action::Stall));
    }

    #[test]
    fn invalid_rules_are_rejected() {
        for rule in [
            Rule::reply(Step::Rcpt, 250, "fine"),
            Rule::reply(Step::Rcpt, 550, "two\r\nlines"),
            Rule::new(Step::Data, Action::DropAfterAccept),
            Rule::new(Step::Rcpt, Action::StallAfterAccept),
            Rule::new(Step::Mail, Action::Drop).only_for("a@x.example"),
            Rule { per_recipient: true, ..Rule::new(Step::Body, Action::Drop) },
        ] {
            let text = format!("{rule:?}");
            assert!(Script::new(vec![rule]).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_the_json_from_the_documentation() {
        let json = r#"{"rules": [
            {"step": "rcpt", "action": {"reply": {"code": 451, "text": "4.7.1 Try later"}},
             "times": 1, "per_recipient": true},
            {"step": "body", "action": "drop_after_accept", "recipient": "jo@example.org"}
        ]}"#;
        let script: Script = serde_json::from_str(json).expect("readable");
        assert_eq!(script.rules()[1].action, Action::DropAfterAccept);
        let bad = r#"{"rules": [{"step": "mail", "action": "drop_after_accept"}]}"#;
        assert!(serde_json::from_str::<Script>(bad).is_err());
    }
}
