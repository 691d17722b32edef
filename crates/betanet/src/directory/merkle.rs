//! A hash tree over a list, after RFC 9162, section 2.1, with BLAKE3: so that one entry can be shown to belong to a
//! signed list without the others.

use crate::Key;

/// The hash of an entry's bytes.
pub(super) fn leaf(bytes: &[u8]) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[0]).update(bytes);
    hasher.finalize().into()
}

fn node(left: &Key, right: &Key) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[1]).update(left).update(right);
    hasher.finalize().into()
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// The root over these leaves. An empty list has the hash of nothing.
pub(super) fn root(leaves: &[Key]) -> Key {
    match leaves {
        [] => blake3::hash(&[]).into(),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes beside the way from a leaf up to the root, the lowest first. None if there is no such leaf.
pub(super) fn path(leaves: &[Key], index: usize) -> Option<Vec<Key>> {
    match leaves {
        [] => None,
        [_] => (index == 0).then(Vec::new),
        many => {
            let (left, right) = many.split_at(split(many.len()));
            let (mut path, beside) = match index.checked_sub(left.len()) {
                None => (path(left, index)?, root(right)),
                Some(index) => (path(right, index)?, root(left)),
            };
            path.push(beside);
            Some(path)
        }
    }
}

/// The root that this leaf, at this place of `count` leaves, leads to over this path. None if the path has another
/// length than such a path has.
pub(super) fn climb(leaf: &Key, index: u32, count: u32, path: &[Key]) -> Option<Key> {
    if index >= count {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, count - 1, *leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = node(beside, &hash);
            while place % 2 == 0 && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, beside);
        }
        place /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<Key> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_climbs_to_the_root_and_to_no_other_place() {
        for count in 1..40 {
            let leaves = leaves(count);
            let top = root(&leaves);
            for index in 0..count {
                let path = path(&leaves, index).expect("a path");
                let climbed = |i: usize, n: usize| climb(&leaves[index], i as u32, n as u32, &path);
                assert_eq!(climbed(index, count), Some(top), "{index} of {count}");
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(climbed(other, count), Some(top), "{index} as {other} of {count}");
                }
            }
            assert_eq!(path(&leaves, count), None);
        }
        assert_eq!(climb(&leaf(b""), 0, 0, &[]), None);
    }

    proptest! {
        #[test]
        fn a_changed_path_leads_elsewhere(count in 2..200_usize, at in any::<prop::sample::Index>(), bit in 0..256_usize, step in any::<prop::sample::Index>()) {
            let leaves = leaves(count);
            let index = at.index(count);
            let mut path = path(&leaves, index).expect("a path");
            let step = step.index(path.len());
            path[step][bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(climb(&leaves[index], index as u32, count as u32, &path), Some(root(&leaves)));
            path.push([0; 32]);
            prop_assert_eq!(climb(&leaves[index], index as u32, count as u32, &path), None);
        }
    }
}
