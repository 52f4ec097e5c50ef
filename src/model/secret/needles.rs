//! Byte strings to search for: each secret as it is, each line of one that has several, and both in base64 and hex.
//! Notations that write a secret character by character are undone by [`super::notation`] instead.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::value::Secret;

/// Shorter values would blank half of a log for nothing.
const LENGTH_MIN: usize = HEAD_BYTES;
/// Numbers of fewer digits are ports, pids and counts; blanking those hides what happened.
const DIGITS_MIN: usize = 6;
/// Shortest line that is searched for by itself: braces and field names need no mask.
const LINE_CHARS_MIN: usize = 8;
/// A chain of certificates has a hundred lines or so; of a longer file the whole and the first lines are searched for.
const LINES_MAX: usize = 512;
/// Shorter base64 occurs in ordinary text.
const BASE64_CHARS_MIN: usize = 6;
/// Shorter runs of hexadecimal digits do too.
const HEX_CHARS_MIN: usize = 8;

/// Bytes of all values that are searched for as they are: more than the environments of any machine add up to.
const PLAIN_BYTES_MAX: usize = 4 << 20;
/// Bytes of all values that are searched for in base64 and hex as well, which takes eight times their length.
const ENCODED_BYTES_MAX: usize = 1 << 20;
/// Bytes kept of a value beyond these bounds: it is still found by its first bytes, and the rest of it shows.
const PREFIX_BYTES: usize = 64;

/// Characters around a needle that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edges {
    /// None.
    Bare,
    /// Characters of base64 that hold some of its bits.
    Base64,
}

/// Byte strings that give a secret away.
pub(super) fn needles<'a>(secrets: impl Iterator<Item = &'a Secret>) -> BTreeMap<Vec<u8>, Edges> {
    let mut needles = BTreeMap::new();
    let (mut plain_left, mut encoded_left) = (PLAIN_BYTES_MAX, ENCODED_BYTES_MAX);
    for piece in secrets.flat_map(pieces) {
        let Some(left) = plain_left.checked_sub(piece.len()) else {
            needles.insert(piece.as_bytes()[..piece.len().min(PREFIX_BYTES)].to_vec(), Edges::Bare);
            continue;
        };
        plain_left = left;
        needles.insert(piece.as_bytes().to_vec(), Edges::Bare);
        let Some(left) = encoded_left.checked_sub(piece.len()) else { continue };
        encoded_left = left;
        for chars in base64s(piece.as_bytes()) {
            needles.entry(chars).or_insert(Edges::Base64);
        }
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let hex: String = piece.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        if hex.len() >= HEX_CHARS_MIN {
            needles.insert(hex.to_ascii_uppercase().into_bytes(), Edges::Bare);
            needles.insert(hex.into_bytes(), Edges::Bare);
        }
    }
    needles
}

/// Returns the whole value without surrounding white space, and each line of several, since a log has them line by
/// line.
fn pieces(secret: &Secret) -> impl Iterator<Item = &str> {
    let whole = secret.reveal().trim();
    let is_maskable = if secret.is_declared { |value: &str| value.len() >= LENGTH_MIN } else { is_maskable };
    let lines = whole.lines().map(str::trim).filter(|line| line.chars().count() >= LINE_CHARS_MIN).take(LINES_MAX);
    let lines = lines.filter(move |_| whole.contains('\n'));
    std::iter::once(whole).filter(move |value| is_maskable(value)).chain(lines)
}

/// Returns true for a value that can be masked without blanking ordinary text.
fn is_maskable(value: &str) -> bool {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let boolean = ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word));
    value.len() >= if digits { DIGITS_MIN } else { LENGTH_MIN } && !boolean
}

/// Returns the base64 characters that encode `bytes` alone, at each of the three offsets in a longer text, in the
/// standard alphabet and in that of URLs.
fn base64s(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3).flat_map(move |before| {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
        let text = STANDARD_NO_PAD.encode(&padded);
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        let standard = text.get(from..to).filter(|chars| chars.len() >= BASE64_CHARS_MIN).unwrap_or_default();
        let url = standard.replace('+', "-").replace('/', "_");
        [standard.to_owned(), url].into_iter().filter(|chars| !chars.is_empty()).map(String::into_bytes)
    })
}

/// First bytes by which a needle is looked for; no needle is shorter.
pub(super) const HEAD_BYTES: usize = 4;
