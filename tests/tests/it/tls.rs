//! SMTP as production needs it: encrypted, with a certificate that is looked at, and a password.

use diagflow_simulators::mail::{Direction, Settings, TlsMode, TlsSettings};
use diagflow_store::Delivery;
use diagflow_tests::invariants::{completed_once, delivery};
use diagflow_tests::{Accepted, Stack, StackOptions, eventually};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;
use tempfile::TempDir;

/// A certificate authority of one's own.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let folder = TempDir::new().expect("a folder");
        let mut parameters = CertificateParams::new([]).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let own = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("authority.pem"), own.pem()).expect("writes");
        Authority { folder, issuer: Issuer::new(parameters, key) }
    }

    /// The file for `SMTP_CA_FILE`.
    fn file(&self) -> String {
        self.folder.path().join("authority.pem").display().to_string()
    }

    /// A certificate for `host`, for the mail server.
    fn server(&self, host: &str, mode: TlsMode) -> TlsSettings {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new([host.to_owned()]).expect("parameters");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |name: &str, text: String| -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            path
        };
        TlsSettings {
            mode,
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
        }
    }
}

/// A worker that speaks TLS by `mode`, trusts `authority` and has a password; a mail server that asks for
/// the password.
fn options(mode: &str, authority: &Authority, tls: Option<TlsSettings>) -> StackOptions {
    let mut options = StackOptions::default()
        .with("SMTP_HOST", "localhost")
        .with("SMTP_TLS", mode)
        .with("SMTP_CA_FILE", authority.file())
        .with("SMTP_USER", "diagflow")
        .with("SMTP_PASSWORD", "a secret");
    options.mail = Settings {
        user: Some("diagflow".to_owned()),
        password: Some("a secret".to_owned()),
        tls,
        ..Settings::default()
    };
    options
}

/// The first words of what the client said and of what happened, in order.
fn said(stack: &Stack) -> Vec<String> {
    let lines = stack.mail.conversations().into_iter().flat_map(|talk| talk.lines);
    lines
        .filter(|line| line.direction != Direction::Out)
        .map(|line| line.text.split([' ', ':']).next().unwrap_or_default().to_owned())
        .collect()
}

/// Waits for a second attempt that failed. The mail waits; nothing of it was said, and no password.
async fn not_let_in(stack: &Stack, submission: &Accepted, code: &str) -> Delivery {
    stack.until(submission, "completed").await;
    let owed = eventually("a second attempt to fail", || async {
        let owed = delivery(stack, submission).await;
        (owed.attempts >= 2 && owed.status.to_string() == "planned").then_some(owed)
    })
    .await;
    assert_eq!(owed.error_code.as_deref(), Some(code), "{owed:?}");
    assert!(stack.mail.mails().is_empty());
    assert!(!said(stack).iter().any(|word| word == "MAIL"), "{:?}", said(stack));
    owed
}

#[tokio::test]
async fn mail_goes_out_by_starttls() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::StartTls);
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &authority, Some(server))).await;

    completed_once(&stack, &accepted).await;

    let said = said(&stack);
    assert_eq!(said[..6], ["EHLO", "STARTTLS", "encrypted", "EHLO", "AUTH", "MAIL"]);
    stack.stop().await;
}

#[tokio::test]
async fn mail_goes_out_by_implicit_tls() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::Implicit);
    let (stack, accepted) =
        Stack::with_submission(options("implicit", &authority, Some(server))).await;

    completed_once(&stack, &accepted).await;

    assert_eq!(said(&stack)[..4], ["encrypted", "EHLO", "AUTH", "MAIL"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    for (mode, name) in [(TlsMode::StartTls, "starttls"), (TlsMode::Implicit, "implicit")] {
        let stranger = Authority::new();
        let server = stranger.server("localhost", mode);
        let (stack, accepted) =
            Stack::with_submission(options(name, &Authority::new(), Some(server))).await;

        let owed = not_let_in(&stack, &accepted, "smtp_unreachable").await;

        let why = owed.error_detail.expect("a reason");
        assert!(why.contains("invalid peer certificate"), "staff read {why:?}");
        assert!(!said(&stack).iter().any(|word| word == "AUTH"), "the password stays here");
        stack.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let server = authority.server("mail.example.org", TlsMode::StartTls);
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &authority, Some(server))).await;

    let owed = not_let_in(&stack, &accepted, "smtp_unreachable").await;

    let why = owed.error_detail.expect("a reason");
    assert!(why.contains("not valid for name"), "staff read {why:?}");
    assert!(!said(&stack).iter().any(|word| word == "AUTH"), "the password stays here");
    stack.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_gets_no_mail() {
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &Authority::new(), None)).await;

    not_let_in(&stack, &accepted, "smtp_unreachable").await;

    assert!(!said(&stack).iter().any(|word| word == "AUTH"), "the password stays here");
    stack.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_our_fault_and_not_the_patients() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::StartTls);
    let options = options("starttls", &authority, Some(server)).with("SMTP_PASSWORD", "another");
    let (stack, accepted) = Stack::with_submission(options).await;

    not_let_in(&stack, &accepted, "smtp_not_let_in").await;
    stack.stop().await;
}
