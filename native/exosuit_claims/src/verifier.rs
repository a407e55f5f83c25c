//! Verifies signatures of known keys, in half the time.
//!
//! A verification has two multiplications of points. `ed25519-dalek` has a precomputed table for
//! one of them only, the one by the base point, because each key is new to it. A host accepts calls
//! of few clusters, so a [`Verifier`] computes the table of their keys once. It accepts exactly the
//! signatures that [`PublicKey::verify`] accepts.

use std::fmt;

use curve25519_dalek::edwards::{EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::BasepointTable;
use sha2::{Digest, Sha512};

use crate::PublicKey;

/// A public key with its table: 30 KB, computed in a tenth of a millisecond.
pub struct Verifier {
    key: PublicKey,
    /// Multiples of the key's negated point. `None` for a weak key, for which anybody can sign.
    multiples: Option<Box<EdwardsBasepointTable>>,
}

impl Verifier {
    /// Computes the table.
    pub fn new(key: PublicKey) -> Self {
        let point = key.point();
        let table = || Box::new(EdwardsBasepointTable::create(&-point));
        Self {
            multiples: (!point.is_small_order()).then(table),
            key,
        }
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the owner of the key signed this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let (Some(multiples), Some((commitment, response))) = (&self.multiples, split(signature))
        else {
            return false;
        };
        let challenge = Sha512::new()
            .chain_update(commitment)
            .chain_update(self.key.to_bytes())
            .chain_update(message);
        let challenge = Scalar::from_bytes_mod_order_wide(&challenge.finalize().into());
        let expected = EdwardsPoint::mul_base(&response) + &**multiples * &challenge;
        expected.compress().as_bytes() == commitment && !expected.is_small_order()
    }
}

/// The two halves of a signature, if it has the one valid form.
fn split(signature: &[u8]) -> Option<(&[u8; 32], Scalar)> {
    let (commitment, response) = signature.split_first_chunk()?;
    let response = Scalar::from_canonical_bytes(response.try_into().ok()?);
    Some((commitment, response.into_option()?))
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use ed25519_dalek::{SigningKey, VerifyingKey};
    use proptest::prelude::*;

    use super::*;
    use crate::{KeyKind, KeyPair};

    fn agree(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let verified = Verifier::new(key.clone()).verify(message, signature);
        assert_eq!(verified, key.verify(message, signature), "{signature:?}");
        verified
    }

    proptest! {
        // A table for each key takes its time.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_says_what_the_key_says(
            message in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..64, bit in 0u8..8,
        ) {
            let pair = KeyPair::generate(KeyKind::Cluster);
            let other = KeyPair::generate(KeyKind::Cluster);
            let mut signature = pair.sign(&message);
            prop_assert!(agree(pair.public_key(), &message, &signature));
            prop_assert!(!agree(other.public_key(), &message, &signature));
            prop_assert!(!agree(pair.public_key(), &[&message[..], b"!"].concat(), &signature));
            signature[at] ^= 1 << bit;
            prop_assert!(!agree(pair.public_key(), &message, &signature));
        }

        #[test]
        fn no_bytes_are_a_signature(signature in prop::collection::vec(any::<u8>(), 0..130)) {
            let pair = KeyPair::generate(KeyKind::Cluster);
            prop_assert!(!agree(pair.public_key(), b"hello", &signature));
        }
    }

    /// The order of the group, little end first.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    #[test]
    fn a_signature_has_one_form() {
        let pair = KeyPair::generate(KeyKind::Cluster);
        let signature = pair.sign(b"hello");
        assert!(agree(pair.public_key(), b"hello", &signature));
        // The same number, once the order is taken off it.
        let mut other = signature;
        let mut carry = 0;
        for (byte, more) in other[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert!(!agree(pair.public_key(), b"hello", &other));
        for length in [0, 32, 63] {
            assert!(!agree(pair.public_key(), b"hello", &signature[..length]));
        }
        assert!(!agree(
            pair.public_key(),
            b"hello",
            &[&signature[..], &[0]].concat()
        ));
    }

    /// Points of small order stand for no secret: with them for key and commitment, and nothing for a
    /// response, something is signed for one message in eight, and by anybody.
    #[test]
    fn weak_points_sign_nothing() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let good = PublicKey::of(KeyKind::Cluster, secret.verifying_key());
        for key in EIGHT_TORSION {
            let weak = VerifyingKey::from_bytes(&key.compress().0).expect("a point");
            let weak = PublicKey::of(KeyKind::Cluster, weak);
            for commitment in EIGHT_TORSION {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(commitment.compress().as_bytes());
                for message in 0u8..16 {
                    assert!(!agree(&weak, &[message], &signature));
                    assert!(!agree(&good, &[message], &signature));
                }
            }
        }
    }
}
