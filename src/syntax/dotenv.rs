//! Parser of `KEY=value` files, with Compose's rules: comments, `export`, quotes; variables everywhere but in single
//! quotes. A line without `=` takes the value from lcm's own environment, if that has one.

use std::collections::BTreeMap;

use crate::syntax::Environment;
use crate::syntax::interpolate::{VariableFault, fill};

/// Bytes of all values of one file: a line may repeat those before it, and the kernel takes no more for a process.
const EXPANDED_BYTES_MAX: usize = 2 << 20;
/// Variables of one file: their names take memory too.
const VARIABLES_MAX: usize = 10_000;

/// Parses a whole file. `Err`: the number of the faulty line and the fault, without any of the line's text: a manifest
/// may name any file here by mistake.
pub(crate) fn parse(text: &str, environment: &Environment) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut bytes_left = EXPANDED_BYTES_MAX;
    while !rest.is_empty() {
        rest = entry(rest, environment, &mut variables, &mut bytes_left).map_err(|reason| {
            let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
            format!("line {number}: {reason}")
        })?;
    }
    Ok(variables)
}

/// Parses one entry, which spans several lines if it is quoted, and returns the rest.
fn entry<'a>(
    text: &'a str,
    environment: &Environment,
    variables: &mut BTreeMap<String, String>,
    bytes_left: &mut usize,
) -> Result<&'a str, String> {
    let mut put = |variables: &mut BTreeMap<String, String>, key: &str, value: String| {
        *bytes_left = bytes_left
            .checked_sub(value.len())
            .ok_or_else(|| format!("the variables up to here exceed {} MiB", EXPANDED_BYTES_MAX >> 20))?;
        variables.insert(key.to_owned(), value);
        if variables.len() > VARIABLES_MAX { Err(format!("more than {VARIABLES_MAX} variables")) } else { Ok(()) }
    };
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let written = line.trim();
    if written.is_empty() || written.starts_with('#') {
        return Ok(after);
    }
    let written = written.strip_prefix("export ").unwrap_or(written);
    let Some((key, value)) = written.split_once('=') else {
        let key = name(written)?;
        if let Some(value) = environment.get(key) {
            put(variables, key, value.clone())?;
        }
        return Ok(after);
    };
    let key = name(key.trim())?.to_owned();
    let value = value.trim_start();
    let lookup = |variables: &BTreeMap<String, String>, text: &str| {
        fill(text, &|name| environment.get(name).or_else(|| variables.get(name)).cloned())
            .map(|filled| filled.text)
            .map_err(|faults| {
                let reason = faults.first().map_or("this value can't be read", nameless);
                format!("{reason} (single quotes keep a `$` as it is)")
            })
    };
    let Some(quote) = value.chars().next().filter(|first| ['"', '\''].contains(first)) else {
        let comment = value.find(" #").or_else(|| value.starts_with('#').then_some(0));
        let bare = &value[..comment.unwrap_or(value.len())];
        let value = lookup(variables, bare.trim_end())?;
        put(variables, &key, value)?;
        return Ok(after);
    };
    // A quoted value may span lines.
    let start = text.find(quote).map_or(text.len(), |position| position + 1);
    let (inside, rest) = quoted(&text[start..], quote).ok_or("a quote is not closed")?;
    let (tail, after) = rest.split_once('\n').unwrap_or((rest, ""));
    let tail = tail.trim();
    if !(tail.is_empty() || tail.starts_with('#')) {
        return Err("unexpected text after the closing quote".to_owned());
    }
    let value = if quote == '"' { lookup(variables, &unescape(inside))? } else { inside.to_owned() };
    put(variables, &key, value)?;
    Ok(after)
}

/// Describes a fault without the variable's name, which may be part of a secret with a dollar sign in it.
fn nameless(fault: &VariableFault) -> &'static str {
    match fault {
        VariableFault::Unset(_) => "a variable in this value is not set",
        VariableFault::Required { .. } => "a variable that this value requires is not set",
        VariableFault::Malformed(_) => "a `$` in this value does not begin a variable",
        VariableFault::TooLarge { .. } => "variables expand this value past the limit of 128 KiB",
    }
}

fn name(text: &str) -> Result<&str, String> {
    let valid = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
    // A line without a name may be a secret without its quotes, so it is not shown.
    if valid { Ok(text) } else { Err("expected `KEY=value`".to_owned()) }
}

/// Returns the text before the closing quote and the text after it.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (position, character) in text.char_indices() {
        if character == quote && !escaped {
            return Some((&text[..position], &text[position + 1..]));
        }
        escaped = quote == '"' && character == '\\' && !escaped;
    }
    None
}

/// Replaces `\n`, `\r`, `\t`, `\"`, `\\`, and `\$` for a dollar sign that begins no variable.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('$') => plain.push_str("$$"),
            Some(other @ ('"' | '\\')) => plain.push(other),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use super::parse;

    #[test]
    fn lines_as_compose_reads_them() {
        let environment = BTreeMap::from([("OUTER".to_owned(), "o".to_owned())]);
        let text = "\u{feff}# a comment\n\nA=1\nexport B = two words # not this\nC='$5 #x'\nD=\"a\\n$A\\$ \\\"q\\\"\" # c\n\
                    E=\nF=\"over\nlines\"\nG=${OUTER}${A}${NONE:-d}\nOUTER\nNOWHERE\nH=a#b\nI=#c\r\nJ=last";
        let read = parse(text, &environment).unwrap();
        let wanted = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$5 #x"),
            ("D", "a\n1$ \"q\""),
            ("E", ""),
            ("F", "over\nlines"),
            ("G", "o1d"),
            ("H", "a#b"),
            ("I", ""),
            ("J", "last"),
            ("OUTER", "o"),
        ];
        let wanted: BTreeMap<String, String> = wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(read, wanted);
    }

    #[test]
    fn variables_that_multiply_are_refused() {
        let mut bomb = format!("V0={}\n", "a".repeat(10));
        for level in 1..12 {
            let _ = writeln!(bomb, "V{level}={}", format!("$V{}", level - 1).repeat(10));
        }
        let error = parse(&bomb, &BTreeMap::new()).unwrap_err();
        assert!(error.starts_with("line 6: variables expand this value past the limit of 128 KiB"), "{error}");
        let many = format!("A={}\n{}", "a".repeat(100 << 10), "B=$A\nA=$B\n".repeat(50));
        let error = parse(&many, &BTreeMap::new()).unwrap_err();
        assert!(error.ends_with("the variables up to here exceed 2 MiB"), "{error}");
        let names = (0..20_000).map(|number| format!("N{number}=")).collect::<Vec<_>>().join("\n");
        assert_eq!(parse(&names, &BTreeMap::new()).unwrap_err(), "line 10001: more than 10000 variables");
    }

    #[test]
    fn faults_name_the_line_and_no_value() {
        let fault = |text: &str| parse(text, &BTreeMap::new()).unwrap_err();
        assert_eq!(fault("A=1\ns3cret!\n"), "line 2: expected `KEY=value`");
        assert_eq!(fault("A=\"s3cret\nB=2\n"), "line 1: a quote is not closed");
        assert_eq!(fault("A='s3cret' x\n"), "line 1: unexpected text after the closing quote");
        assert_eq!(
            fault("A=1\n\nB=s3$cret\n"),
            "line 3: a variable in this value is not set (single quotes keep a `$` as it is)"
        );
        for text in ["A=${B:?s3cret}", "A=s3cret\nB=${C:?$A}", "A=${s3!cret}", "A=\"$s3cret\""] {
            assert!(!fault(text).contains("s3"), "{text}: {}", fault(text));
        }
    }
}
