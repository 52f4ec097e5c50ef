//! Reader of Rust source for the laws: code without comments and strings, functions, modules, paths. No parser, and no
//! types.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Source file of the repository.
pub(crate) struct Source {
    /// Path relative to the repository's root.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Text with comments, strings and characters replaced by spaces; newlines stay, so that offsets agree.
    pub(crate) code: String,
    /// Ranges that are compiled for tests only.
    tests: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        let code = blank(&text);
        let tests = test_modules(&code);
        Self { path, text, code, tests }
    }

    /// Reads all `.rs` files under a folder of the repository, by path.
    pub(crate) fn all(folder: &str) -> Vec<Self> {
        let root = root();
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files);
        files.sort();
        files
            .into_iter()
            .map(|file| {
                let path = file.strip_prefix(&root).expect("under the root").display().to_string();
                Self::new(path, std::fs::read_to_string(&file).expect("a readable source"))
            })
            .collect()
    }

    /// Formats an offset: `src/plan/order.rs:12`.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.line(offset))
    }

    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    pub(crate) fn is_test_code(&self, offset: usize) -> bool {
        self.path.ends_with("tests.rs")
            || self.path.contains("/tests/")
            || self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Returns the stage of the file: `plan` for `src/plan/order.rs`, `main` for `src/main.rs`.
    pub(crate) fn stage(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
    }

    /// Returns the offsets of `word` as a whole word in code.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let joins = |letter: Option<char>| letter.is_some_and(is_name);
            let begins = word.starts_with(is_name) && joins(self.code[..*at].chars().next_back());
            let ends = word.ends_with(is_name) && joins(self.code[at + word.len()..].chars().next());
            !begins && !ends
        })
    }

    /// Returns name and range of each function with a body.
    pub(crate) fn functions(&self) -> Vec<(String, Range<usize>)> {
        let mut found = Vec::new();
        for at in self.words("fn") {
            let rest = &self.code[at + 2..];
            let name: String = rest.trim_start().chars().take_while(|letter| is_name(*letter)).collect();
            let Some(open) = signature_end(rest).map(|end| at + 2 + end) else { continue };
            // A pointer type `fn(..)` has no name, and a trait's declaration no body.
            if !name.is_empty() && self.code.as_bytes()[open] == b'{' {
                found.push((name, at..matching_brace(&self.code, open)));
            }
        }
        found
    }

    /// Returns each path that begins with `crate::`, with groups expanded: offset, first segment, second one if any.
    pub(crate) fn crate_paths(&self) -> Vec<(usize, String, Option<String>)> {
        let mut found = Vec::new();
        for at in self.words("crate") {
            if let Some(rest) = self.code[at + "crate".len()..].strip_prefix("::") {
                for (first, second) in leaves(rest) {
                    found.push((at, first, second));
                }
            }
        }
        found
    }
}

/// Comment or text literal.
pub(crate) struct Prose {
    pub(crate) range: Range<usize>,
}

impl Prose {
    pub(crate) fn text<'a>(&self, file: &'a Source) -> &'a str {
        &file.text[self.range.clone()]
    }

    /// Returns true for a comment, and false for a text literal.
    pub(crate) fn is_comment(&self, file: &Source) -> bool {
        self.text(file).starts_with('/')
    }

    /// Returns true for a line of documentation.
    pub(crate) fn is_documentation(&self, file: &Source) -> bool {
        let text = self.text(file);
        (text.starts_with("///") && !text.starts_with("////")) || text.starts_with("//!")
    }
}

impl Source {
    /// Returns all comments, line by line, and all text literals, in their order.
    pub(crate) fn prose(&self) -> Vec<Prose> {
        let bytes = self.text.as_bytes();
        let (mut found, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let end = literal_end(bytes, at);
            if end > at && bytes[at] != b'\'' {
                found.push(Prose { range: at..end });
            }
            at = end.max(at + 1);
        }
        found
    }
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns first and second segments of the path after `crate::`, which may be a group in braces.
fn leaves(rest: &str) -> Vec<(String, Option<String>)> {
    let segment = |text: &str| text.trim_start().chars().take_while(|letter| is_name(*letter)).collect::<String>();
    let heads: Vec<String> = if rest.starts_with('{') { group(rest) } else { vec![rest.to_owned()] };
    let mut found = Vec::new();
    for head in heads {
        let first = segment(&head);
        match head.trim_start()[first.len()..].strip_prefix("::") {
            Some(tail) if tail.starts_with('{') => {
                found.extend(group(tail).iter().map(|item| (first.clone(), Some(segment(item)))));
            }
            Some(tail) => found.push((first, Some(segment(tail)))),
            None => found.push((first, None)),
        }
    }
    found
}

/// Splits the items of `{a, b::{c, d}}` at the outer commas.
fn group(text: &str) -> Vec<String> {
    let inner = &text[1..matching_brace(text, 0) - 1];
    let (mut depth, mut items) = (0_i32, vec![String::new()]);
    for letter in inner.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter == ',' && depth == 0 {
            items.push(String::new());
        } else {
            items.last_mut().expect("never empty").push(letter);
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Returns the end of a signature: the first `{` or `;` that is not within an array type.
fn signature_end(rest: &str) -> Option<usize> {
    let mut depth = 0_i32;
    rest.char_indices().find_map(|(at, letter)| {
        depth += i32::from(letter == '[') - i32::from(letter == ']');
        (depth == 0 && matches!(letter, '{' | ';')).then_some(at)
    })
}

/// Returns the offset after the brace that closes the one at `open`.
fn matching_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, letter) in code[open..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

fn test_modules(code: &str) -> Vec<Range<usize>> {
    let starts = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    starts.filter_map(|at| code[at..].find('{').map(|open| at..matching_brace(code, at + open))).collect()
}

/// Replaces comments and literals by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the end of the comment, string or character that begins at `at`; `at` if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let until = |from: usize, needle: &[u8]| {
        bytes[from..]
            .windows(needle.len())
            .position(|window| window == needle)
            .map_or(bytes.len(), |found| from + found)
    };
    match &bytes[at..] {
        [b'/', b'/', ..] => until(at, b"\n"),
        [b'/', b'*', ..] => until(at, b"*/").saturating_add(2).min(bytes.len()),
        [b'"', ..] => quoted_end(bytes, at),
        [b'r', b'"' | b'#', ..] if !at.checked_sub(1).is_some_and(|before| is_name(bytes[before].into())) => {
            let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
            if bytes.get(at + 1 + hashes) != Some(&b'"') {
                return at;
            }
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            (until(at + 2 + hashes, &close) + close.len()).min(bytes.len())
        }
        [b'\'', b'\\', ..] => until(at + 3, b"'") + 1,
        // A character, not a lifetime: its quote closes within the four bytes that UTF-8 can take.
        [b'\'', first, ..] => {
            let length = if *first < 0x80 { 1 } else { first.leading_ones() as usize };
            if bytes.get(at + 1 + length) == Some(&b'\'') { at + 2 + length } else { at }
        }
        _ => at,
    }
}

fn quoted_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}
