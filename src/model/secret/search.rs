//! Search for many byte strings at once: a filter over their first bytes finds where one may begin, and a sorted list
//! finds which one is there. An automaton over all of them would take fifty times their length in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use super::needles::{Edges, HEAD_BYTES};

/// Size of the filter: 8 KiB, which stay in the nearest cache. Some thousand needles leave most of it empty.
const FILTER_BITS: u32 = 16;
/// Bytes compared for one text. Ordinary texts need a few for each byte; the rest of a text that was crafted to need
/// more counts as found whole.
const COMPARED_BYTES_MAX: usize = 64 << 20;

/// Byte strings to search for, sorted.
pub(super) struct Needles {
    filter: Vec<u64>,
    bytes: Vec<Vec<u8>>,
    edges: Vec<Edges>,
    /// Index of the longest other needle that each begins with.
    parents: Vec<Option<usize>>,
    bytes_max: usize,
}

impl Needles {
    pub(super) fn new(needles: BTreeMap<Vec<u8>, Edges>) -> Self {
        let (bytes, edges): (Vec<Vec<u8>>, Vec<Edges>) = needles.into_iter().unzip();
        let mut filter = vec![0; 1 << (FILTER_BITS - u64::BITS.ilog2())];
        for place in bytes.iter().filter_map(|needle| place_of(needle)) {
            filter[place / 64] |= 1 << (place % 64);
        }
        let bytes_max = bytes.iter().map(Vec::len).max().unwrap_or_default();
        Self { filter, parents: parents(&bytes), bytes, edges, bytes_max }
    }

    /// Returns all needles, sorted.
    pub(super) fn bytes(&self) -> &[Vec<u8>] {
        &self.bytes
    }

    /// Returns the length of the longest needle, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Returns false if a text certainly contains no needle.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        self.places(text).next().is_some()
    }

    /// Returns the places at which a needle may begin.
    fn places(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let heads = text.windows(HEAD_BYTES).map(place_of).enumerate();
        heads.filter_map(|(at, place)| {
            place.filter(|place| self.filter[place / 64] >> (place % 64) & 1 == 1).map(|_| at)
        })
    }

    /// Calls `found` with the longest needle at each place where there is one.
    pub(super) fn find(&self, text: &[u8], found: &mut impl FnMut(Range<usize>, Edges)) {
        let mut left = COMPARED_BYTES_MAX;
        for start in self.places(text) {
            let (needle, compared) = self.at_beginning(&text[start..]);
            if let Some(needle) = needle {
                found(start..start + self.bytes[needle].len(), self.edges[needle]);
            }
            let Some(rest) = left.checked_sub(compared) else {
                found(start..text.len(), Edges::Bare);
                return;
            };
            left = rest;
        }
    }

    /// Returns the longest needle that a text begins with, and the approximate number of bytes compared to find it.
    ///
    /// Each needle that the text begins with sorts at or before the text, and all that sort between the longest of them
    /// and the text begin with it: so it is the last one before the text, or an ancestor of that.
    fn at_beginning(&self, text: &[u8]) -> (Option<usize>, usize) {
        let after = self.bytes.partition_point(|needle| needle.as_slice() <= text);
        let common_with = |needle: &Vec<u8>| needle.iter().zip(text).take_while(|(one, two)| one == two).count();
        let mut needle = after.checked_sub(1);
        let common = needle.map_or(0, |at| common_with(&self.bytes[at]));
        // No needle has more in common with the text than its neighbours have.
        let common_max = common.max(self.bytes.get(after).map_or(0, common_with));
        let mut compared = (common_max + 1) * (self.bytes.len().ilog2() as usize + 1);
        while let Some(at) = needle.filter(|at| self.bytes[*at].len() > common) {
            needle = self.parents[at];
            compared += 1;
        }
        (needle, compared)
    }
}

impl PartialEq for Needles {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// Returns the bit of a head in the filter, by Fibonacci hashing.
fn place_of(text: &[u8]) -> Option<usize> {
    let head = u32::from_le_bytes(*text.first_chunk::<HEAD_BYTES>()?);
    Some((head.wrapping_mul(0x9e37_79b1) >> (u32::BITS - FILTER_BITS)) as usize)
}

fn parents(sorted: &[Vec<u8>]) -> Vec<Option<usize>> {
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(sorted.len());
    for (at, needle) in sorted.iter().enumerate() {
        let mut parent = at.checked_sub(1);
        while let Some(other) = parent.filter(|other| !needle.starts_with(&sorted[*other])) {
            parent = parents[other];
        }
        parents.push(parent);
    }
    parents
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{ProptestConfig, prop, proptest};
    use proptest::prop_assert_eq;

    use super::{Edges, Needles};

    fn found(needles: &BTreeSet<Vec<u8>>, text: &[u8]) -> Vec<bool> {
        let needles = Needles::new(needles.iter().map(|needle| (needle.clone(), Edges::Bare)).collect());
        let mut covered = vec![false; text.len()];
        needles.find(text, &mut |range, _| covered[range].fill(true));
        covered
    }

    /// Returns what trying each needle at each place finds.
    fn tried(needles: &BTreeSet<Vec<u8>>, text: &[u8]) -> Vec<bool> {
        let mut covered = vec![false; text.len()];
        for needle in needles {
            for at in 0..text.len() {
                if text[at..].starts_with(needle) {
                    covered[at..at + needle.len()].fill(true);
                }
            }
        }
        covered
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_that_trying_each_finds_is_found(
            needles in prop::collection::btree_set("[ab]{4,14}", 1..12),
            text in "[ab]{0,60}|[abc]{0,60}",
        ) {
            let needles: BTreeSet<Vec<u8>> = needles.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(found(&needles, text.as_bytes()), tried(&needles, text.as_bytes()));
        }
    }

    #[test]
    fn a_text_made_to_be_slow_is_found_whole() {
        let needles = BTreeSet::from([[vec![b'a'; 100_000], vec![b'b']].concat()]);
        assert!(found(&needles, &vec![b'a'; 100_000])[50_000..].iter().all(|covered| *covered));
    }
}
