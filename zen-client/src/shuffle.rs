//! The questions in random order, as the texts' client asks them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Puts `items` into a random order, each order equally likely (Fisher and Yates).
///
/// The randomness is that with which the standard library seeds its hash maps: enough for the order of three questions, and
/// no dependency. It is no source of secrets.
///
/// ```
/// let mut order = [1, 2, 3];
/// zen_client::shuffle::shuffle(&mut order);
/// order.sort();
/// assert_eq!(order, [1, 2, 3]);
/// ```
pub fn shuffle<T>(items: &mut [T]) {
    let random = RandomState::new();
    for last in (1..items.len()).rev() {
        let mut hasher = random.build_hasher();
        hasher.write_usize(last);
        #[allow(clippy::cast_possible_truncation)] // the lower bits are as random as the upper ones
        items.swap(last, hasher.finish() as usize % (last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_of_three_comes_up() {
        let mut seen = std::collections::BTreeSet::new();
        // One of six orders stays unseen in 1000 tries once in 10^78.
        for _ in 0..1000 {
            let mut order = [1, 2, 3];
            shuffle(&mut order);
            seen.insert(order);
        }
        assert_eq!(seen.len(), 6);
    }
}
