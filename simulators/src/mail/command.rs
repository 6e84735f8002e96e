//! Parses SMTP commands according to RFC 5321, including the parameters of the advertised extensions.

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ehlo,
    Helo,
    StartTls,
    Auth { mechanism: String, initial: Option<String> },
    Mail(MailFrom),
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MailFrom {
    /// Sender address, which is empty for bounces.
    pub(super) address: String,
    pub(super) size: Option<usize>,
    pub(super) utf8: bool,
}

pub(super) type ErrorReply = &'static str;

const SYNTAX: ErrorReply = "501 5.5.4 Syntax error in parameters";
const UNKNOWN_PARAMETER: ErrorReply = "555 5.5.4 Unknown parameter";

impl Command {
    /// Parses a command line without its CRLF.
    pub(super) fn parse(line: &str) -> Result<Self, ErrorReply> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if !rest.is_empty() => Ok(Self::Ehlo),
            "HELO" if !rest.is_empty() => Ok(Self::Helo),
            "EHLO" | "HELO" => Err("501 5.5.4 A domain is required"),
            "AUTH" => auth(rest),
            "MAIL" => mail(after(rest, "FROM:")?),
            "RCPT" => rcpt(after(rest, "TO:")?),
            "DATA" if rest.is_empty() => Ok(Self::Data),
            "STARTTLS" if rest.is_empty() => Ok(Self::StartTls),
            "RSET" if rest.is_empty() => Ok(Self::Rset),
            "QUIT" if rest.is_empty() => Ok(Self::Quit),
            "DATA" | "RSET" | "QUIT" | "STARTTLS" => Err(SYNTAX),
            "NOOP" => Ok(Self::Noop),
            "VRFY" if !rest.is_empty() => Ok(Self::Vrfy),
            "VRFY" => Err(SYNTAX),
            "HELP" => Ok(Self::Help),
            "EXPN" | "TURN" => Err("502 5.5.1 Command not implemented"),
            _ => Err("500 5.5.1 Command not recognised"),
        }
    }
}

fn after<'a>(rest: &'a str, keyword: &str) -> Result<&'a str, ErrorReply> {
    let (head, tail) = rest.split_at_checked(keyword.len()).ok_or(SYNTAX)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(SYNTAX);
    }
    // RFC 5321 allows no space after the colon, but many clients send one.
    Ok(tail.trim_start())
}

fn auth(rest: &str) -> Result<Command, ErrorReply> {
    let mut words = rest.split_whitespace();
    let mechanism = words.next().ok_or(SYNTAX)?.to_ascii_uppercase();
    let initial = words.next().map(ToOwned::to_owned);
    match words.next() {
        None => Ok(Command::Auth { mechanism, initial }),
        Some(_) => Err(SYNTAX),
    }
}

fn mail(rest: &str) -> Result<Command, ErrorReply> {
    let (address, parameters) = path(rest)?;
    let mut mail = MailFrom { address, ..MailFrom::default() };
    for parameter in parameters.split_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name.to_ascii_uppercase().as_str(), value) {
            ("SIZE", size) => mail.size = Some(size.parse().map_err(|_| SYNTAX)?),
            ("BODY", body)
                if ["7BIT", "8BITMIME"].contains(&body.to_ascii_uppercase().as_str()) => {}
            ("BODY", _) => return Err(SYNTAX),
            ("SMTPUTF8", "") => mail.utf8 = true,
            // `AUTH` identifies the authenticated sender (RFC 4954). The mail catcher ignores it.
            ("AUTH", _) => {}
            _ => return Err(UNKNOWN_PARAMETER),
        }
    }
    Ok(Command::Mail(mail))
}

fn rcpt(rest: &str) -> Result<Command, ErrorReply> {
    let (address, parameters) = path(rest)?;
    if !parameters.is_empty() {
        return Err(UNKNOWN_PARAMETER);
    }
    let postmaster = address.eq_ignore_ascii_case("postmaster");
    match address.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => {
            Ok(Command::Rcpt(address))
        }
        _ if postmaster => Ok(Command::Rcpt(address)),
        _ => Err("501 5.1.3 Bad recipient address syntax"),
    }
}

/// Splits `<address> parameters`. A `>` within quotes is part of the address.
fn path(rest: &str) -> Result<(String, &str), ErrorReply> {
    let inner = rest.strip_prefix('<').ok_or(SYNTAX)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Ok((inner[..at].to_owned(), inner[at + 1..].trim())),
            c if c.is_control() => return Err(SYNTAX),
            _ => {}
        }
    }
    Err(SYNTAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_addresses_and_parameters() {
        let line = "mail from:<a@x.example> SIZE=12 body=8bitmime SMTPUTF8";
        let mail = MailFrom { address: "a@x.example".to_owned(), size: Some(12), utf8: true };
        assert_eq!(Command::parse(line), Ok(Command::Mail(mail)));
        assert_eq!(Command::parse("MAIL FROM:<>"), Ok(Command::Mail(MailFrom::default())));
        let quoted = Command::parse(r#"RCPT TO:<"a>\"b"@x.example>"#);
        assert_eq!(quoted, Ok(Command::Rcpt(r#""a>\"b"@x.example"#.to_owned())));
        let spaced = Command::parse("RCPT TO: <müller@x.example>");
        assert_eq!(spaced, Ok(Command::Rcpt("müller@x.example".to_owned())));
        assert_eq!(
            Command::parse("RCPT TO:<Postmaster>"),
            Ok(Command::Rcpt("Postmaster".to_owned()))
        );
    }

    #[test]
    fn invalid_commands_are_rejected_with_the_matching_reply_code() {
        for (line, code) in [
            ("HELLO x", "500"),
            ("", "500"),
            ("EHLO", "501"),
            ("MAIL a@x.example", "501"),
            ("MAIL FROM:a@x.example", "501"),
            ("MAIL FROM:<a@x.example", "501"),
            ("MAIL FROM:<a@x.example> SIZE=big", "501"),
            ("MAIL FROM:<a@x.example> BODY=BINARYMIME", "501"),
            ("MAIL FROM:<a@x.example> RET=FULL", "555"),
            ("RCPT TO:<nobody>", "501"),
            ("RCPT TO:<a@x.example> NOTIFY=NEVER", "555"),
            ("DATA now", "501"),
            ("STARTTLS now", "501"),
            ("TURN", "502"),
        ] {
            let reply = Command::parse(line).expect_err(line);
            assert!(reply.starts_with(code), "{line}: {reply}");
        }
    }
}
