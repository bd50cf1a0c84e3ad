//! Key sets (RFC 7517), and the signatures that they verify: `jsonwebtoken` with the cryptography of `ring`.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature as by;

/// Keys of a set.
const MOST_KEYS: usize = 256;

/// What tokens may be signed with. Secrets that both sides know (HS256) are not among them.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The algorithm of this name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    name.parse().ok().filter(|algorithm| ALGORITHMS.contains(algorithm))
}

/// The public keys of an issuer.
#[derive(Debug, Default, Clone)]
pub(crate) struct KeySet(Vec<(Jwk, DecodingKey)>);

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(jwk, _)| jwk).eq(other.0.iter().map(|(jwk, _)| jwk))
    }
}

impl KeySet {
    /// The keys for signatures; those of kinds that are not known here are left out, as the RFC says.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let set: JwkSet =
            serde_json::from_slice(bytes).map_err(|error| format!("no JSON web key set: {error}"))?;
        let usable = set.keys.into_iter().filter_map(|jwk| {
            let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
            let key = DecodingKey::from_jwk(&jwk).ok()?;
            (signs && key.family() != AlgorithmFamily::Hmac).then_some((jwk, key))
        });
        let keys: Vec<_> = usable.take(MOST_KEYS + 1).collect();
        match keys.len() {
            0 => Err("the key set has no key that could verify a signature".into()),
            1..=MOST_KEYS => Ok(Self(keys)),
            _ => Err(format!("the key set has more than {MOST_KEYS} keys")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key of this name that fits the algorithm; without a name the only one that fits.
    pub(crate) fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |(jwk, key): &&(Jwk, DecodingKey)| {
            let said = jwk.common.key_algorithm.is_none_or(|it| it == KeyAlgorithm::from(algorithm));
            said && key.family() == algorithm.family()
                && name.is_none_or(|name| jwk.common.key_id.as_deref() == Some(name))
        };
        let mut found = self.0.iter().filter(fits);
        let (_, key) = found.next()?;
        (name.is_some() || found.next().is_none()).then_some(key)
    }
}

/// Has `jsonwebtoken` verify with `ring`, which TLS is made of too: a second library of cryptography would cost build time and
/// trust.
pub(super) fn use_ring() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
        verifier_factory: |algorithm, key| {
            if key.family() != algorithm.family() || !ALGORITHMS.contains(algorithm) {
                return Err(ErrorKind::InvalidAlgorithm.into());
            }
            Ok(Box::new(Ring { algorithm: *algorithm, key: key.kind().clone() }))
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // Another gateway of the process has done it already.
    let _done: Result<(), _> = RING.install_default();
}

struct Ring {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let wrong = |_| signature::Error::new();
        match &self.key {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = match self.algorithm {
                    Algorithm::RS256 => &by::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &by::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &by::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &by::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &by::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &by::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(signature::Error::new()),
                };
                by::RsaPublicKeyComponents { n, e }.verify(parameters, message, signed).map_err(wrong)
            }
            DecodingKeyKind::SecretOrDer(point) => {
                let algorithm: &dyn by::VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &by::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &by::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &by::ED25519,
                    _ => return Err(signature::Error::new()),
                };
                by::UnparsedPublicKey::new(algorithm, point).verify(message, signed).map_err(wrong)
            }
        }
    }
}
