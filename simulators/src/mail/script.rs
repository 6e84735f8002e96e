//! Misbehaviour by script: which rule strikes at which step of a conversation.

use std::{collections::HashMap, sync::Mutex};

use serde::{Deserialize, Serialize};

use crate::sync::lock;

/// A point of an SMTP conversation at which the server can misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Instead of the greeting.
    Connect,
    /// Instead of the answer to EHLO or HELO.
    Ehlo,
    /// Instead of the answer to AUTH.
    Auth,
    /// Instead of the answer to MAIL FROM.
    Mail,
    /// Instead of the answer to RCPT TO.
    Rcpt,
    /// Instead of the 354 after DATA.
    Data,
    /// After the whole message has arrived, instead of its 250.
    Body,
}

/// What the server does at a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Refuses with a reply. After a 421, and at [`Step::Connect`], the connection closes.
    Reply {
        /// 400 to 599.
        code: u16,
        /// One line, usually with an enhanced status code in front: `4.7.1 Try later`.
        text: String,
    },
    /// Closes the connection without a reply. At [`Step::Body`] the message is not stored.
    Drop,
    /// Stores the message, then closes the connection instead of the 250 ([`Step::Body`] only).
    DropAfterAccept,
    /// Falls silent until the client goes away. At [`Step::Body`] the message is not stored.
    Stall,
    /// Stores the message, then falls silent instead of the 250 ([`Step::Body`] only).
    StallAfterAccept,
}

/// One piece of misbehaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where it strikes.
    pub step: Step,
    /// What it does.
    pub action: Action,
    /// How many times; `None` means for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only for this recipient: the one of RCPT, or any accepted one at DATA and after the body.
    #[serde(default)]
    pub recipient: Option<String>,
    /// Whether `times` counts for each recipient on its own ([`Step::Rcpt`] only).
    #[serde(default)]
    pub per_recipient: bool,
}

impl Rule {
    /// A rule that strikes for ever and for everybody.
    pub fn new(step: Step, action: Action) -> Self {
        Self { step, action, times: None, recipient: None, per_recipient: false }
    }

    /// A refusal with `code` and `text`.
    pub fn reply(step: Step, code: u16, text: &str) -> Self {
        let text = text.to_owned();
        Self::new(step, Action::Reply { code, text })
    }

    /// Greylisting: the first attempt for each recipient gets a 451.
    pub fn greylisting() -> Self {
        let rule = Self::reply(Step::Rcpt, 451, "4.7.1 Greylisted, try again later");
        Self { per_recipient: true, ..rule.times(1) }
    }

    /// The rule, for the first `times` times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The rule, for one recipient.
    #[must_use]
    pub fn only_for(self, recipient: &str) -> Self {
        Self { recipient: Some(recipient.to_owned()), ..self }
    }

    fn check(&self) -> Result<(), &'static str> {
        if let Action::Reply { code, text } = &self.action {
            if !(400..600).contains(code) {
                return Err("a reply's code must be 400 to 599");
            }
            if text.chars().any(char::is_control) {
                return Err("a reply's text must be one line");
            }
        }
        let after_accept = [Action::DropAfterAccept, Action::StallAfterAccept];
        if after_accept.contains(&self.action) && self.step != Step::Body {
            return Err("drop_after_accept and stall_after_accept belong to the step body");
        }
        let knows_recipients = matches!(self.step, Step::Rcpt | Step::Data | Step::Body);
        if self.recipient.is_some() && !knows_recipients {
            return Err("recipient belongs to the steps rcpt, data and body");
        }
        if self.per_recipient && self.step != Step::Rcpt {
            return Err("per_recipient belongs to the step rcpt");
        }
        Ok(())
    }

    fn matches(&self, step: Step, recipients: &[String]) -> bool {
        let wanted = |recipient: &String| recipients.iter().any(|it| same_address(it, recipient));
        self.step == step && self.recipient.as_ref().is_none_or(wanted)
    }
}

/// Whether two addresses are the same mailbox for the purposes of a test.
pub(super) fn same_address(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// A rule that can never do what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number} of the script is refused: {reason}")]
pub struct InvalidRule {
    /// Which rule, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A checked list of rules; at each step the first one that fits and is not used up strikes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Rules")]
pub struct Script {
    rules: Vec<Rule>,
}

/// A script before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rules: Vec<Rule>,
}

impl Script {
    /// A script of these rules.
    ///
    /// # Errors
    /// [`InvalidRule`] names the first rule that makes no sense.
    pub fn new(rules: Vec<Rule>) -> Result<Self, InvalidRule> {
        for (index, rule) in rules.iter().enumerate() {
            rule.check().map_err(|reason| InvalidRule { number: index + 1, reason })?;
        }
        Ok(Self { rules })
    }

    /// The rules, in order.
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

/// Plays a script: remembers how often each rule has struck.
pub(super) struct ScriptState(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    script: Script,
    /// Counts by rule and, for `per_recipient`, by recipient; else by the empty name.
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

    /// What to do at `step`; `recipients` are the one being named, or those accepted so far.
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
        let script = Script::new(vec![Rule::greylisting()]).expect("a good script");
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
        let state = ScriptState::new(Script::new(rules).expect("a good script"));
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
