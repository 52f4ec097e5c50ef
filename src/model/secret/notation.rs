//! Notations that write a text character by character, undone with a map back to the place of each byte: percent and
//! form encoding, backslashes (JSON, YAML, C, shells), character references (HTML, XML), doubled and spliced quotes
//! (YAML, CSV, shells), wrapped lines, and hexadecimal digits in groups.

use std::ops::Range;

use crate::model::safe_text;

/// One way to write a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Percent,
    /// As [`Notation::Percent`], with `+` for a space.
    Form,
    Backslash,
    Reference,
    /// Quotes within the quotes of a shell: `'\''`, `'"'"'`.
    Spliced,
    /// `''` for a quote.
    DoubledSingle,
    /// `""` for a quote.
    DoubledDouble,
    Wrapped,
    /// Terminal codes, and letters without a shape: removing them later must not put a secret together.
    Unseen,
    /// Hexadecimal digits in groups, as `xxd`, `od` and fingerprints have them: `68 75`, `68:75`, `6875 6e74`.
    Grouped,
}

impl Notation {
    pub(super) const ALL: [Self; 10] = [
        Self::Percent,
        Self::Form,
        Self::Backslash,
        Self::Reference,
        Self::Spliced,
        Self::DoubledSingle,
        Self::DoubledDouble,
        Self::Wrapped,
        Self::Unseen,
        Self::Grouped,
    ];

    /// Returns true for a text that may use any notation.
    pub(super) fn may_be_in(text: &[u8]) -> bool {
        text.iter().any(|byte| Self::may_begin(*byte)) || has_groups(text)
    }

    /// Returns true for a byte that begins any notation, except groups of digits.
    fn may_begin(byte: u8) -> bool {
        !matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b' ') && Self::ALL.iter().any(|one| one.begins(byte))
    }

    /// Returns true for a byte that begins this notation.
    fn begins(self, byte: u8) -> bool {
        match self {
            Self::Percent => byte == b'%',
            Self::Form => byte == b'+',
            Self::Backslash => byte == b'\\',
            Self::Reference => byte == b'&',
            Self::Spliced | Self::DoubledSingle => byte == b'\'',
            Self::DoubledDouble => byte == b'"',
            Self::Wrapped => byte == b'\n',
            Self::Unseen => !matches!(byte, b' '..=b'~' | b'\n' | b'\t'),
            // Spaces and colons are far too common: groups are searched for whole.
            Self::Grouped => false,
        }
    }

    /// Reads one unit at the begin of `rest`: its length in bytes, and the text that it means. `None`: a byte that
    /// means itself.
    fn unit(self, rest: &[u8]) -> Option<(usize, Meaning)> {
        match self {
            Self::Form if rest[0] == b'+' => Some((1, Meaning::byte(b' '))),
            Self::Form | Self::Percent => percent(rest),
            Self::Backslash => backslash(rest),
            Self::Reference => reference(rest),
            Self::Spliced => pair(rest, b"'\\''").or_else(|| pair(rest, b"'\"'\"'")),
            Self::DoubledSingle => pair(rest, b"''"),
            Self::DoubledDouble => pair(rest, b"\"\""),
            Self::Wrapped => wrapped(rest),
            Self::Unseen => unseen(rest),
            Self::Grouped => grouped(rest),
        }
    }

    /// Undoes the notation; `None` where the text does not use it.
    pub(super) fn undo(self, text: &Layer) -> Option<Layer> {
        let bytes = &text.bytes;
        let may_be =
            if self == Self::Grouped { has_groups(bytes) } else { bytes.iter().any(|byte| self.begins(*byte)) };
        if !may_be {
            return None;
        }
        let capacity = bytes.len();
        let mut plain = Layer {
            bytes: Vec::with_capacity(capacity),
            from: Vec::with_capacity(capacity),
            to: Vec::with_capacity(capacity),
        };
        let (mut at, mut undone) = (0, false);
        while at < bytes.len() {
            let (length, meaning) = match self.unit(&bytes[at..]) {
                Some(unit) => {
                    undone = true;
                    unit
                }
                None => (1, Meaning::byte(bytes[at])),
            };
            for byte in meaning.bytes() {
                plain.bytes.push(*byte);
                plain.from.push(text.from[at]);
                plain.to.push(text.to[at + length - 1]);
            }
            at += length;
        }
        undone.then_some(plain)
    }
}

/// A text, and the places in the original at which each of its bytes begins and ends.
pub(super) struct Layer {
    pub(super) bytes: Vec<u8>,
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Layer {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), from: (0..bytes.len()).collect(), to: (1..=bytes.len()).collect() }
    }

    /// Returns the place in the original of some bytes, at least one.
    pub(super) fn written(&self, meant: Range<usize>) -> Range<usize> {
        self.from[meant.start]..self.to[meant.end - 1]
    }
}

/// A character, or nothing.
#[derive(Clone, Copy)]
struct Meaning {
    buffer: [u8; 4],
    length: usize,
}

impl Meaning {
    const NOTHING: Self = Self { buffer: [0; 4], length: 0 };

    fn byte(byte: u8) -> Self {
        Self { buffer: [byte, 0, 0, 0], length: 1 }
    }

    fn character(code: u32) -> Option<Self> {
        let mut buffer = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut buffer).len();
        Some(Self { buffer, length })
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// Parses the number made by `count` digits at the begin of a text.
fn number(digits: &[u8], count: usize, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..count)?).ok()?;
    // A sign is no digit.
    let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    all.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

fn byte_of(digits: &[u8], count: usize, radix: u32) -> Option<Meaning> {
    number(digits, count, radix).and_then(|code| u8::try_from(code).ok()).map(Meaning::byte)
}

fn percent(rest: &[u8]) -> Option<(usize, Meaning)> {
    let digits = rest.strip_prefix(b"%")?;
    Some((3, byte_of(digits, 2, 16)?))
}

fn backslash(rest: &[u8]) -> Option<(usize, Meaning)> {
    let after = rest.strip_prefix(b"\\")?;
    let first = *after.first()?;
    let coded = match first {
        b'x' => byte_of(&after[1..], 2, 16).map(|meaning| (4, meaning)),
        b'u' if after.get(1) == Some(&b'{') => braced(&after[2..]),
        b'u' => utf16(&after[1..]),
        b'U' => number(&after[1..], 8, 16).and_then(Meaning::character).map(|meaning| (10, meaning)),
        b'0'..=b'3' => byte_of(after, 3, 8).map(|meaning| (4, meaning)),
        _ => None,
    };
    let simple = match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        b'a' => 7,
        b'e' => 27,
        b'0' => 0,
        other => other,
    };
    Some(coded.unwrap_or((2, Meaning::byte(simple))))
}

/// Parses `\u{1f600}`, without its first three bytes.
fn braced(rest: &[u8]) -> Option<(usize, Meaning)> {
    // The largest character has six digits.
    let end = rest.iter().take(7).position(|byte| *byte == b'}')?;
    Some((end + 4, Meaning::character(number(rest, end, 16)?)?))
}

/// Parses `\u00e9`, or two of them for a character beyond 16 bits; without the first two bytes.
fn utf16(rest: &[u8]) -> Option<(usize, Meaning)> {
    let high = number(rest, 4, 16)?;
    if let Some(meaning) = Meaning::character(high) {
        return Some((6, meaning));
    }
    let low = number(rest.get(4..)?.strip_prefix(b"\\u")?, 4, 16)?;
    let pair = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((12, Meaning::character(character.into())?))
}

fn reference(rest: &[u8]) -> Option<(usize, Meaning)> {
    let inner = rest.strip_prefix(b"&")?;
    // `&#x10FFFF;`
    let end = inner.iter().take(10).position(|byte| *byte == b';')?;
    let name = &inner[..end];
    let code = match name {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        b"nbsp" => u32::from(b' '),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, digits.len(), 16)?,
        [b'#', digits @ ..] => number(digits, digits.len(), 10)?,
        _ => return None,
    };
    Some((end + 2, Meaning::character(code)?))
}

/// Parses a quote that is written as several characters, the first of which it is.
fn pair(rest: &[u8], written: &[u8]) -> Option<(usize, Meaning)> {
    rest.starts_with(written).then(|| (written.len(), Meaning::byte(written[0])))
}

/// Parses the end of a line, and the indent of the next one.
fn wrapped(rest: &[u8]) -> Option<(usize, Meaning)> {
    let after = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
    let indent = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    Some((rest.len() - after.len() + indent, Meaning::NOTHING))
}

/// Groups of two or four hexadecimal digits in a row from which on a text counts: words like `be` are no dump.
const GROUPS_MIN: usize = 2;

/// Returns the length of a group of digits and its separator, at the begin of `rest`: ` 68`, `:68`, ` 6875`.
fn group(rest: &[u8]) -> Option<usize> {
    if !matches!(rest.first()?, b' ' | b':' | b'-') {
        return None;
    }
    let digits = rest[1..].iter().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    matches!(digits, 2 | 4).then_some(1 + digits)
}

fn has_groups(text: &[u8]) -> bool {
    let (mut at, mut groups) = (0, 0);
    while at < text.len() {
        (at, groups) = group(&text[at..]).map_or((at + 1, 0), |length| (at + length, groups + 1));
        if groups >= GROUPS_MIN {
            return true;
        }
    }
    false
}

/// Parses the separator before a group.
fn grouped(rest: &[u8]) -> Option<(usize, Meaning)> {
    group(rest).map(|_| (1, Meaning::NOTHING))
}

/// Parses a sequence that no terminal shows. Of a code longer than any that a terminal knows, a part is read.
fn unseen(rest: &[u8]) -> Option<(usize, Meaning)> {
    const CODE_BYTES_MAX: usize = 4 << 10;
    if !Notation::Unseen.begins(rest[0]) {
        return None;
    }
    let line = rest.split(|byte| *byte == b'\n').next()?;
    let line = &line[..line.len().min(CODE_BYTES_MAX)];
    // The rest may be no text, or cut within a letter.
    let text = line.utf8_chunks().next()?.valid();
    let length = safe_text::unseen_bytes(text);
    (length > 0).then_some((length, Meaning::NOTHING))
}
