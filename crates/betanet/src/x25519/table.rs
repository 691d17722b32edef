//! Multiplying a relay's key by many scalars.

use crate::Key;
use curve25519_dalek::edwards::EdwardsBasepointTable;
use curve25519_dalek::traits::BasepointTable;
use curve25519_dalek::{MontgomeryPoint, Scalar};

/// Multiples of one relay's key: 30 KiB, made once for each key in the directory.
pub struct Table(Box<EdwardsBasepointTable>);

impl Table {
    /// None if the key is not a point of the curve's large subgroup. Then products of scalars could not be taken
    /// modulo the group's order, and an honest relay has no such key.
    pub fn new(key: &Key) -> Option<Self> {
        let point = MontgomeryPoint(*key).to_edwards(0)?;
        let honest = point.is_torsion_free() && !point.is_small_order();
        honest.then(|| Self(Box::new(EdwardsBasepointTable::create(&point))))
    }

    /// The u coordinate of the key's multiple.
    pub fn multiply(&self, scalar: &Scalar) -> Key {
        self.0.mul_base(scalar).to_montgomery().0
    }
}

/// A clamped scalar (RFC 7748, section 5) modulo the group's order.
pub(crate) fn clamped(bytes: Key) -> Scalar {
    Scalar::from_bytes_mod_order(curve25519_dalek::scalar::clamp_integer(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn products_of_scalars_are_as_by_the_judge(secret: Key, a: Key, b: Key) {
            let public = x25519(secret, X25519_BASEPOINT_BYTES);
            let table = Table::new(&public).ok_or(TestCaseError::fail("an honest key"))?;
            prop_assert_eq!(table.multiply(&clamped(a)), x25519(a, public));
            prop_assert_eq!(table.multiply(&(clamped(a) * clamped(b))), x25519(b, x25519(a, public)));
        }
    }

    #[test]
    fn keys_of_no_honest_relay_get_no_table() {
        let mut two = [0; 32];
        two[0] = 2; // on the twist
        assert!(Table::new(&two).is_none());
        assert!(Table::new(&[0; 32]).is_none());
        let mut one = [0; 32];
        one[0] = 1; // of order four
        assert!(Table::new(&one).is_none());
    }
}
