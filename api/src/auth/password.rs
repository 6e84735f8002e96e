//! PasswordService: which are accepted, and how they are stored.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// OWASP's parameters for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
/// Length in characters (ASVS 5.0, 6.2.1 and 6.2.9, and a little more than its least).
const MIN_LENGTH: usize = 12;
const MAX_LENGTH: usize = 128;
/// The estimator's score from 0 to 4 that is enough: safe from guessing that is slowed down.
const MIN_SCORE: zxcvbn::Score = zxcvbn::Score::Three;
/// PasswordService that are worked on at once: each takes a core and 19 MiB.
const MAX_CONCURRENT: usize = 4;

/// What is wrong with a password that somebody wants to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than 12 characters.
    #[error("The password needs at least {MIN_LENGTH} characters")]
    TooShort,
    /// More than 128 characters.
    #[error("The password may have at most {MAX_LENGTH} characters")]
    TooLong,
    /// One of those that are tried first, or made from one, or from the account's name.
    #[error(
        "This password is too easy to guess: it is a common one, or made from one, or from your name. \
         Several unusual words make a good one"
    )]
    TooCommon,
}

impl WeakPassword {
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooShort => "password_too_short",
            Self::TooLong => "password_too_long",
            Self::TooCommon => "password_too_common",
        }
    }
}

/// Whether a password may be had by somebody with this address and name. Takes milliseconds.
///
/// # Errors
/// What is wrong with it.
pub fn check_password(password: &str, email: &str, name: &str) -> Result<(), WeakPassword> {
    match password.chars().count() {
        ..MIN_LENGTH => return Err(WeakPassword::TooShort),
        MIN_LENGTH..=MAX_LENGTH => {}
        _ => return Err(WeakPassword::TooLong),
    }
    let local = email.split('@').next().unwrap_or_default();
    let joined: String = name.split_whitespace().collect();
    let words =
        name.split_whitespace().chain(local.split(|letter: char| !letter.is_alphanumeric()));
    let known = [email, local, name, &joined, "diagflow"];
    let known: Vec<&str> = known.into_iter().chain(words).filter(|it| !it.is_empty()).collect();
    let score = zxcvbn::zxcvbn(password, &known).score();
    if score < MIN_SCORE { Err(WeakPassword::TooCommon) } else { Ok(()) }
}

/// Hashes and verifies, a few at a time.
#[derive(Clone)]
pub(crate) struct PasswordService(Arc<Semaphore>);

impl PasswordService {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONCURRENT)))
    }

    /// [`check`], aside from what answers requests.
    pub(crate) async fn check(
        &self,
        password: &str,
        email: &str,
        name: &str,
    ) -> Result<(), WeakPassword> {
        let [password, email, name] = [password, email, name].map(str::to_owned);
        self.run_blocking(move || check_password(&password, &email, &name)).await
    }

    /// What is stored of a password.
    pub(crate) async fn hash(&self, password: &str) -> String {
        let password = password.to_owned();
        self.run_blocking(move || hash_password(&password)).await
    }

    /// Whether `password` is the one that `stored` was made from. Where nothing is stored it is not, and that
    /// takes the same time.
    pub(crate) async fn verify(&self, password: &str, stored: Option<String>) -> bool {
        static DUMMY_HASH: LazyLock<String> =
            LazyLock::new(|| hash_password("the password of nobody"));
        let password = password.to_owned();
        self.run_blocking(move || {
            let has_password = stored.is_some();
            let stored = stored.as_deref().unwrap_or(&DUMMY_HASH);
            let right = PasswordHash::new(stored).is_ok_and(|stored| {
                argon2id().verify_password(password.as_bytes(), &stored).is_ok()
            });
            right && has_password
        })
        .await
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let _permit = self.0.acquire().await.expect("never closed");
        tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
    }
}

fn argon2id() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, ITERATIONS, PARALLELISM, None).expect("OWASP's parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What is stored of a password. Takes a core for tens of milliseconds, and 19 MiB.
///
/// # Panics
/// Never: any text has a hash.
pub fn hash_password(password: &str) -> String {
    let hash: PasswordHash =
        argon2id().hash_password(password.as_bytes()).expect("any text of this length has a hash");
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_rejected() {
        let check = |password: &str| check_password(password, "ana.lopez@example.org", "Ana Lopez");
        assert_eq!(check("short"), Err(WeakPassword::TooShort));
        assert_eq!(check(&"x7-".repeat(43)), Err(WeakPassword::TooLong));
        for common in [
            "password1234",
            "123456789012",
            "qwertyuiop12",
            "aaaaaaaaaaaa",
            "ana.lopez2026",
            "AnaLopez1234",
        ] {
            assert_eq!(check(common), Err(WeakPassword::TooCommon), "{common}");
        }
        for good in ["correct horse battery staple", "tiefe Wasser sind grün", "x7Kq-v92P-tt0m"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[tokio::test]
    async fn a_hash_uses_the_owasp_parameters_and_verifies() {
        let passwords = PasswordService::new();
        let stored = passwords.hash("correct horse battery staple").await;
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, passwords.hash("correct horse battery staple").await, "salted");
        assert!(passwords.verify("correct horse battery staple", Some(stored.clone())).await);
        assert!(!passwords.verify("correct horse battery stable", Some(stored)).await);
        assert!(!passwords.verify("the password of nobody", None).await);
    }
}
