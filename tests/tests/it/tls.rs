//! Tests of SMTP with production settings: encryption, a verified certificate and a password.

use diagflow_simulators::mail::{Direction, Settings, TlsMode, TlsSettings};
use diagflow_store::Delivery;
use diagflow_tests::assertions::{delivery, wait_completed_once};
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, eventually};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::PathBuf;
use tempfile::TempDir;

/// A private certificate authority.
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
        let certificate = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).expect("written");
        Authority { folder, issuer: Issuer::new(parameters, key) }
    }

    fn file(&self) -> String {
        self.folder.path().join("authority.pem").display().to_string()
    }

    /// Returns TLS settings for a mail server whose certificate is issued for `host`.
    fn server(&self, host: &str, mode: TlsMode) -> TlsSettings {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new([host.to_owned()]).expect("parameters");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |name: &str, text: String| -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        TlsSettings {
            mode,
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
        }
    }
}

/// Returns options for a worker that uses the given TLS mode, trusts `authority` and has a password, and for a mail
/// server that requires the password.
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

/// Returns the first word of each line that the client sent and of each note in the server's log, in order.
fn transcript(stack: &Stack) -> Vec<String> {
    let lines = stack.mail.conversations().into_iter().flat_map(|talk| talk.lines);
    lines
        .filter(|line| line.direction != Direction::Out)
        .map(|line| line.text.split([' ', ':']).next().unwrap_or_default().to_owned())
        .collect()
}

/// Waits for a second failed attempt, then asserts that the e-mail is still pending and that no message was sent.
async fn assert_rejected(stack: &Stack, submission: &AcceptedSubmission, code: &str) -> Delivery {
    stack.wait_for_status(submission, "completed").await;
    let pending = eventually("a second attempt to fail", || async {
        let pending = delivery(stack, submission).await;
        (pending.attempts >= 2 && pending.status.to_string() == "planned").then_some(pending)
    })
    .await;
    assert_eq!(pending.error_code.as_deref(), Some(code), "{pending:?}");
    assert!(stack.mail.mails().is_empty());
    assert!(!transcript(stack).iter().any(|word| word == "MAIL"), "{:?}", transcript(stack));
    pending
}

#[tokio::test]
async fn email_is_sent_with_starttls() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::StartTls);
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &authority, Some(server))).await;

    wait_completed_once(&stack, &accepted).await;

    let transcript = transcript(&stack);
    assert_eq!(transcript[..6], ["EHLO", "STARTTLS", "TLS", "EHLO", "AUTH", "MAIL"]);
    stack.stop().await;
}

#[tokio::test]
async fn email_is_sent_with_implicit_tls() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::Implicit);
    let (stack, accepted) =
        Stack::with_submission(options("implicit", &authority, Some(server))).await;

    wait_completed_once(&stack, &accepted).await;

    assert_eq!(transcript(&stack)[..4], ["TLS", "EHLO", "AUTH", "MAIL"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_certificate_from_an_unknown_authority_is_rejected() {
    for (mode, name) in [(TlsMode::StartTls, "starttls"), (TlsMode::Implicit, "implicit")] {
        let unknown = Authority::new();
        let server = unknown.server("localhost", mode);
        let (stack, accepted) =
            Stack::with_submission(options(name, &Authority::new(), Some(server))).await;

        let pending = assert_rejected(&stack, &accepted, "smtp_unreachable").await;

        let detail = pending.error_detail.expect("a reason");
        assert!(detail.contains("invalid peer certificate"), "the recorded reason is {detail:?}");
        assert!(
            !transcript(&stack).iter().any(|word| word == "AUTH"),
            "the worker sent its password"
        );
        stack.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_rejected() {
    let authority = Authority::new();
    let server = authority.server("mail.example.org", TlsMode::StartTls);
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &authority, Some(server))).await;

    let pending = assert_rejected(&stack, &accepted, "smtp_unreachable").await;

    let detail = pending.error_detail.expect("a reason");
    assert!(detail.contains("not valid for name"), "the recorded reason is {detail:?}");
    assert!(!transcript(&stack).iter().any(|word| word == "AUTH"), "the worker sent its password");
    stack.stop().await;
}

#[tokio::test]
async fn a_server_without_encryption_gets_no_email() {
    let (stack, accepted) =
        Stack::with_submission(options("starttls", &Authority::new(), None)).await;

    assert_rejected(&stack, &accepted, "smtp_unreachable").await;

    assert!(!transcript(&stack).iter().any(|word| word == "AUTH"), "the worker sent its password");
    stack.stop().await;
}

#[tokio::test]
async fn an_email_is_retried_after_a_wrong_smtp_password() {
    let authority = Authority::new();
    let server = authority.server("localhost", TlsMode::StartTls);
    let options = options("starttls", &authority, Some(server)).with("SMTP_PASSWORD", "another");
    let (stack, accepted) = Stack::with_submission(options).await;

    assert_rejected(&stack, &accepted, "smtp_access_denied").await;
    stack.stop().await;
}
