//! Implements HMAC for `jsonwebtoken` using the crates that the rest of the API already uses. The two providers bundled
//! with `jsonwebtoken` would pull in either the C code of a second TLS library or an RSA implementation with a known
//! timing side channel.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Sha256, Sha384, Sha512};
use signature::{Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

pub(super) fn install() {
    // This fails only if a provider has already been installed.
    let _ = PROVIDER.install_default();
}

enum KeyedHmac {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
}

impl KeyedHmac {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self> {
        let unfit = |_| Error::from(ErrorKind::InvalidKeyFormat);
        Ok(match algorithm {
            Algorithm::HS256 => Self::Hs256(Hmac::new_from_slice(key).map_err(unfit)?),
            Algorithm::HS384 => Self::Hs384(Hmac::new_from_slice(key).map_err(unfit)?),
            Algorithm::HS512 => Self::Hs512(Hmac::new_from_slice(key).map_err(unfit)?),
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        })
    }
}

impl Signer<Vec<u8>> for KeyedHmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(match self {
            Self::Hs256(mac) => mac.clone().chain_update(message).finalize().into_bytes().to_vec(),
            Self::Hs384(mac) => mac.clone().chain_update(message).finalize().into_bytes().to_vec(),
            Self::Hs512(mac) => mac.clone().chain_update(message).finalize().into_bytes().to_vec(),
        })
    }
}

impl Verifier<Vec<u8>> for KeyedHmac {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        // `verify_slice` compares in constant time.
        let verified = match self {
            Self::Hs256(mac) => mac.clone().chain_update(message).verify_slice(given),
            Self::Hs384(mac) => mac.clone().chain_update(message).verify_slice(given),
            Self::Hs512(mac) => mac.clone().chain_update(message).verify_slice(given),
        };
        verified.map_err(signature::Error::from_source)
    }
}

impl KeyedHmac {
    fn key_algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::HS256,
            Self::Hs384(_) => Algorithm::HS384,
            Self::Hs512(_) => Algorithm::HS512,
        }
    }
}

impl JwtSigner for KeyedHmac {
    fn algorithm(&self) -> Algorithm {
        self.key_algorithm()
    }
}

impl JwtVerifier for KeyedHmac {
    fn algorithm(&self) -> Algorithm {
        self.key_algorithm()
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Ok(Box::new(KeyedHmac::new(*algorithm, key.as_bytes())?))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    Ok(Box::new(KeyedHmac::new(*algorithm, key.try_get_as_bytes()?)?))
}
