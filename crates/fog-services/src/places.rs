//! Which relays are for what.

use crate::Key;
use betanet::path::Level;
use betanet::view::View;
use rand::seq::SliceRandom;

/// The relays of layer 3, which have boxes and store descriptors. All that the directory lists, drawn or not: a service
/// and its clients must mean the same ones, also when they look at different times.
pub(crate) fn homes(view: &View) -> Vec<Key> {
    view.layer(3, false).map(|(r, _)| r.id).collect()
}

/// Relays for boxes, in random order: first those that the lottery drew, last `own`, the own home, which knows where its
/// mailbox's owner is.
pub(crate) fn for_boxes(view: &View, own: Option<Key>) -> Vec<Key> {
    let mut relays = homes(view);
    relays.shuffle(&mut rand::rng());
    relays.sort_by_key(|r| (Some(*r) == own, !view.is_drawn(r)));
    relays
}

/// The best level that a network of this size has: five hops take two relays of each layer but the first.
pub fn best_level(view: &View) -> Level {
    let enough = |layer, n| view.layer(layer, false).count() >= n;
    if enough(1, 1) && enough(2, 2) && enough(3, 2) { Level::Confidential } else { Level::Private }
}
