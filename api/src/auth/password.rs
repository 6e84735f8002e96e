//! Password rules and password hashing.

use crate::error::field_errors::FieldErrorCode;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// OWASP's parameters for argon2id (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
/// Minimum length in characters. ASVS 5.0 requires at least 8 characters and recommends 15 (6.2.1). Passwords of at
/// least 64 characters must be permitted (6.2.9).
const MIN_LENGTH: usize = 12;
const MAX_LENGTH: usize = 128;
/// Lowest accepted zxcvbn score, on a scale from 0 to 4. A password with this score resists throttled guessing.
const MIN_SCORE: zxcvbn::Score = zxcvbn::Score::Three;
/// Number of characters of the password, and of the account's data, that zxcvbn examines. Its running time grows more
/// than quadratically with the length, and a password whose beginning is hard to guess is itself hard to guess.
const EXAMINED_LENGTH: usize = 64;
/// Maximum number of passwords hashed concurrently. Each hash occupies a core and uses 19 MiB of memory.
const MAX_CONCURRENT_HASHES: usize = 4;
/// Maximum number of new passwords checked concurrently. Checks have separate permits so that sign-ins do not have to
/// wait for them.
const MAX_CONCURRENT_CHECKS: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("The password must have at least {MIN_LENGTH} characters")]
    TooShort,
    #[error("The password must have at most {MAX_LENGTH} characters")]
    TooLong,
    /// The password is common, or it is derived from a common password or from the account's name.
    #[error(
        "The password is too easy to guess: it is common, or contains your name. Use several unusual \
         words instead"
    )]
    TooCommon,
}

impl WeakPassword {
    pub(crate) fn code(self) -> FieldErrorCode {
        match self {
            Self::TooShort => FieldErrorCode::PasswordTooShort,
            Self::TooLong => FieldErrorCode::PasswordTooLong,
            Self::TooCommon => FieldErrorCode::PasswordTooCommon,
        }
    }
}

/// Checks a password for the account with this address and name. The check takes several milliseconds.
pub fn check_password(password: &str, email: &str, name: &str) -> Result<(), WeakPassword> {
    match password.chars().count() {
        ..MIN_LENGTH => return Err(WeakPassword::TooShort),
        MIN_LENGTH..=MAX_LENGTH => {}
        _ => return Err(WeakPassword::TooLong),
    }
    let [password, email, name] = [password, email, name].map(examined);
    let local = email.split('@').next().unwrap_or_default();
    let joined: String = name.split_whitespace().collect();
    let words =
        name.split_whitespace().chain(local.split(|character: char| !character.is_alphanumeric()));
    let known = [email, local, name, &joined, "diagflow"];
    let known: Vec<&str> = known.into_iter().chain(words).filter(|it| !it.is_empty()).collect();
    let score = zxcvbn::zxcvbn(password, &known).score();
    if score < MIN_SCORE { Err(WeakPassword::TooCommon) } else { Ok(()) }
}

fn examined(text: &str) -> &str {
    text.char_indices().nth(EXAMINED_LENGTH).map_or(text, |(end, _)| &text[..end])
}

/// Hashes, verifies and checks passwords with limited concurrency.
pub(crate) struct PasswordService {
    hashes: Semaphore,
    checks: Semaphore,
}

impl PasswordService {
    pub(crate) fn new() -> Self {
        Self {
            hashes: Semaphore::new(MAX_CONCURRENT_HASHES),
            checks: Semaphore::new(MAX_CONCURRENT_CHECKS),
        }
    }

    /// Runs [`check_password`] on a blocking thread.
    pub(crate) async fn check(
        &self,
        password: &str,
        email: &str,
        name: &str,
    ) -> Result<(), WeakPassword> {
        let [password, email, name] = [password, email, name].map(str::to_owned);
        run_blocking(&self.checks, move || check_password(&password, &email, &name)).await
    }

    pub(crate) async fn hash(&self, password: &str) -> String {
        let password = password.to_owned();
        run_blocking(&self.hashes, move || hash_password(&password)).await
    }

    /// Whether `stored` is the hash of `password`. Verification takes the same time even if there is no hash.
    pub(crate) async fn verify(&self, password: &str, stored: Option<String>) -> bool {
        static DUMMY_HASH: LazyLock<String> =
            LazyLock::new(|| hash_password("no account has this password"));
        let password = password.to_owned();
        run_blocking(&self.hashes, move || {
            let has_password = stored.is_some();
            let stored = stored.as_deref().unwrap_or(&DUMMY_HASH);
            let right = PasswordHash::new(stored).is_ok_and(|stored| {
                argon2id().verify_password(password.as_bytes(), &stored).is_ok()
            });
            right && has_password
        })
        .await
    }
}

async fn run_blocking<T: Send + 'static>(
    permits: &Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let _permit = permits.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, PARALLELISM, None).expect("valid parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password. This occupies a core for tens of milliseconds and uses 19 MiB of memory.
pub fn hash_password(password: &str) -> String {
    let hash: PasswordHash =
        argon2id().hash_password(password.as_bytes()).expect("argon2id accepts any password");
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn the_password_check_examines_a_limited_number_of_characters() {
        let beginning = "x7Kq-v92P-tt0m".repeat(5);
        assert_eq!(examined(&beginning).chars().count(), EXAMINED_LENGTH);
        assert_eq!(examined("Größe"), "Größe");
        let strong_end = format!("{}x7Kq-v92P-tt0m", "a".repeat(EXAMINED_LENGTH));
        assert_eq!(check_password(&strong_end, "", ""), Err(WeakPassword::TooCommon));
    }

    #[tokio::test]
    async fn sign_ins_do_not_wait_for_checks_of_new_passwords() {
        let passwords = PasswordService::new();
        let permits = u32::try_from(MAX_CONCURRENT_CHECKS).expect("a small number");
        let checks = passwords.checks.acquire_many(permits).await.expect("permits");

        let sign_in = async {
            let stored = passwords.hash("correct horse battery staple").await;
            passwords.verify("correct horse battery staple", Some(stored)).await
        };

        let signed_in = tokio::time::timeout(Duration::from_secs(20), sign_in).await;
        assert!(signed_in.expect("no wait for a check"));
        drop(checks);
    }

    #[tokio::test]
    async fn a_hash_uses_the_owasp_parameters_and_can_be_verified() {
        let passwords = PasswordService::new();
        let stored = passwords.hash("correct horse battery staple").await;
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(
            stored,
            passwords.hash("correct horse battery staple").await,
            "hashes are salted"
        );
        assert!(passwords.verify("correct horse battery staple", Some(stored.clone())).await);
        assert!(!passwords.verify("correct horse battery stable", Some(stored)).await);
        assert!(!passwords.verify("no account has this password", None).await);
    }
}
