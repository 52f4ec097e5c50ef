//! Hides secrets by value: one search for all of them, run over a text as it is and over its meaning once its escapes
//! are undone, so that the ways to write a secret need not be listed in advance.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::needles::{Edges, needles};
use super::notation::{Layer, Notation};
use super::search::Needles;
use super::value::{MASK, Secret};

/// Depth of nested notations. A URL in JSON in a shell's quotes has three; no reader undoes more.
const DEPTH_MAX: usize = 3;
/// Length above which one notation is undone at most, so that masking stays linear in the text. No message is longer.
const DEEP_BYTES_MAX: usize = 256 << 10;
/// Bytes of undone escapes for one text: all depths of a message, and some notations of a longer text.
const UNDONE_BYTES_MAX: usize = 4 << 20;
/// Bytes that a byte of a secret takes at most, in the notations in use: `\u00XX`.
const ESCAPED_BYTES: usize = 6;
/// Length above which a secret is a file: a line of it is cut rather than the whole.
const REACH_MAX: usize = 256 << 10;
/// Mark of a cut. The text beside it may be half of a secret.
const CUT: &[u8] = "…".as_bytes();
/// Marks of cuts that are inspected in one text: lcm writes two at most.
const CUTS_MAX: usize = 64;
/// Shorter parts of a secret give nothing away.
const PART_BYTES_MIN: usize = 4;
/// No text is cut to more than this.
const PART_BYTES_MAX: usize = 4 << 10;

/// Secrets as they may occur in free text. Its `Debug` is stars; copies share one automaton.
#[derive(Clone, Default)]
pub struct Masker(Option<Arc<NeedleSearch>>);

struct NeedleSearch {
    needles: Needles,
    /// End of each needle backwards, sorted.
    reversed: Vec<Vec<u8>>,
}

impl Masker {
    /// Creates a masker of these values; values shorter than four bytes, and numbers below six digits, are left out.
    pub fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let needles = needles(secrets);
        if needles.is_empty() {
            return Self::default();
        }
        let end_of = |needle: &Vec<u8>| needle.iter().rev().take(PART_BYTES_MAX).copied().collect();
        let mut reversed: Vec<Vec<u8>> = needles.keys().map(end_of).collect();
        reversed.sort_unstable();
        Self(Some(Arc::new(NeedleSearch { needles: Needles::new(needles), reversed })))
    }

    /// Returns true if there is nothing to mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the text with every secret replaced by stars.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let found = self.found(text.as_bytes());
        let mut masked = String::with_capacity(text.len());
        let mut shown = 0;
        for Range { start, end } in found {
            let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
            masked.push_str(&text[shown.min(start)..start]);
            masked.push_str(MASK);
            shown = end;
        }
        masked.push_str(&text[shown..]);
        masked
    }

    /// Masks a text in place; does nothing, and allocates nothing, where there are no secrets.
    pub fn mask_in_place(&self, text: &mut String) {
        if !self.is_empty() && !self.found(text.as_bytes()).is_empty() {
            *text = self.mask(text);
        }
    }

    /// Masks every string of a JSON value; keys are names, and stay.
    pub fn mask_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => self.mask_in_place(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_json(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Returns the text with as many stars in place of each secret as the secret has bytes, so that places in it stay
    /// where they are.
    #[must_use]
    pub fn mask_in_width(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for Range { start, end } in self.found(text.as_bytes()) {
            let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
            // Line ends stay: columns and lines of the rest must not move.
            bytes[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
        }
        String::from_utf8(bytes).unwrap_or_else(|_| MASK.to_owned())
    }

    /// Returns the bytes beyond a cut that [`Masker::cut`] needs.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        let longest = self.0.as_ref().map_or(0, |search| search.needles.bytes_max());
        longest.max((longest * ESCAPED_BYTES).min(REACH_MAX))
    }

    /// Returns the place for a cut at `at`: behind a secret that lies across it, if there is one. `bytes` has to reach
    /// [`Masker::bytes_max`] further.
    #[must_use]
    pub fn cut(&self, bytes: &[u8], at: usize) -> usize {
        let reach = self.bytes_max();
        let mut cut = at.min(bytes.len());
        // Each turn advances by a byte at least, and ends with the text.
        loop {
            let from = cut.saturating_sub(reach);
            let to = bytes.len().min(cut + reach);
            let across = self.found(&bytes[from..to]).into_iter().find(|found| {
                let (start, end) = (from + found.start, from + found.end);
                start < cut && cut < end
            });
            match across {
                Some(found) => cut = from + found.end,
                None => return cut,
            }
        }
    }

    /// Returns the places of secrets, in order and apart from each other.
    fn found(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = &self.0 else { return Vec::new() };
        // Most texts are short and hold neither a notation nor a needle.
        let is_plain = !bytes.contains(&CUT[0]) && !Notation::may_be_in(bytes);
        if is_plain && !search.needles.may_be_in(bytes) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let depth = if bytes.len() > DEEP_BYTES_MAX { 1 } else { DEPTH_MAX };
        search.read(Layer::new(bytes), depth, &mut found);
        found.sort_unstable_by_key(|range| (range.start, range.end));
        let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                Some(_) | None => apart.push(range),
            }
        }
        apart
    }
}

impl NeedleSearch {
    /// Searches a text, and its meanings once its escapes are undone, the nearest meanings first.
    fn read(&self, text: Layer, depth: usize, found: &mut Vec<Range<usize>>) {
        self.search(&text, found);
        let (mut layers, mut undone_bytes) = (VecDeque::from([(text, depth)]), 0);
        while let Some((layer, depth)) = layers.pop_front() {
            for notation in Notation::ALL {
                if undone_bytes > UNDONE_BYTES_MAX {
                    return;
                }
                let Some(meant) = notation.undo(&layer) else { continue };
                undone_bytes += meant.bytes.len();
                self.search(&meant, found);
                // Of a long text no more than one meaning is kept.
                if depth > 1 {
                    layers.push_back((meant, depth - 1));
                }
            }
        }
    }

    fn search(&self, layer: &Layer, found: &mut Vec<Range<usize>>) {
        let mut add = |range: Range<usize>| found.push(layer.written(range));
        self.needles.find(&layer.bytes, &mut |range, edges| add(whole(&layer.bytes, range, edges)));
        self.parts(&layer.bytes, &mut add);
    }

    /// Finds beginnings of secrets before the mark of a cut, and ends of secrets behind it.
    fn parts(&self, bytes: &[u8], add: &mut impl FnMut(Range<usize>)) {
        let is_space = |byte: &&u8| byte.is_ascii_whitespace();
        let mut from = 0;
        for _ in 0..CUTS_MAX {
            let Some(at) = bytes[from..].windows(CUT.len()).position(|window| window == CUT) else { return };
            let (cut, behind) = (from + at, from + at + CUT.len());
            let end = cut - bytes[..cut].iter().rev().take(2).take_while(is_space).count();
            let begin = behind + bytes[behind..].iter().take(2).take_while(is_space).count();
            let before = &bytes[end.saturating_sub(PART_BYTES_MAX)..end];
            if let Some(length) = longest_part(self.needles.bytes(), before) {
                add(end - length..end);
            }
            let after: Vec<u8> = bytes[begin..].iter().take(PART_BYTES_MAX).rev().copied().collect();
            if let Some(length) = longest_part(&self.reversed, &after) {
                add(begin..begin + length);
            }
            from = behind;
        }
    }
}

/// Extends a match by the characters beside it that hold some of its bits.
fn whole(bytes: &[u8], Range { start, end }: Range<usize>, edges: Edges) -> Range<usize> {
    if edges == Edges::Bare {
        return start..end;
    }
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let before = bytes[..start].last().filter(|byte| is_digit(byte)).into_iter().count();
    let after = bytes[end..].first().filter(|byte| is_digit(byte)).into_iter().count();
    let padding = bytes[end + after..].iter().take(2).take_while(|byte| **byte == b'=').count();
    start - before..end + after + padding
}

/// Returns the length of the longest end of `text` that one of these begins with.
fn longest_part(sorted: &[Vec<u8>], text: &[u8]) -> Option<usize> {
    (PART_BYTES_MIN..=text.len()).rev().find(|length| {
        let part = &text[text.len() - length..];
        let first = sorted.partition_point(|needle| needle.as_slice() < part);
        sorted.get(first).is_some_and(|needle| needle.starts_with(part))
    })
}

/// Equality of the secrets that two maskers hide.
impl PartialEq for Masker {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one.needles == two.needles,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

#[cfg(test)]
mod tests;
