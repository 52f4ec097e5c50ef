//! Files of `KEY=value` lines, as Compose reads them: comments, `export`, quotes; variables in what is not in single
//! quotes. A line without `=` takes the value from lcm's own environment, where there is one.

use std::collections::BTreeMap;

use crate::syntax::Environment;
use crate::syntax::interpolate::{VariableFault, fill};

/// Text of all variables of one file: the kernel takes no more for a process, and a line may repeat those before it.
const EXPANDED_BYTES_MAX: usize = 2 << 20;
/// Names have a price, too.
const VARIABLES_MAX: usize = 10_000;

/// Reads a whole file. `Err`: the line and what is wrong with it, without a word of what it holds: any file may be named
/// for one of variables.
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

/// Takes one line, or more where quotes hold them together, and gives the rest.
fn entry<'a>(
    text: &'a str,
    environment: &Environment,
    variables: &mut BTreeMap<String, String>,
    bytes_left: &mut usize,
) -> Result<&'a str, String> {
    let mut put = |variables: &mut BTreeMap<String, String>, key: &str, value: String| {
        *bytes_left = bytes_left
            .checked_sub(value.len())
            .ok_or_else(|| format!("the variables up to here come to more than {} MiB", EXPANDED_BYTES_MAX >> 20))?;
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
                let told = faults.first().map_or("this value can't be read", told);
                format!("{told} (single quotes keep a `$` as it is)")
            })
    };
    let Some(quote) = value.chars().next().filter(|first| ['"', '\''].contains(first)) else {
        let comment = value.find(" #").or_else(|| value.starts_with('#').then_some(0));
        let bare = &value[..comment.unwrap_or(value.len())];
        let value = lookup(variables, bare.trim_end())?;
        put(variables, &key, value)?;
        return Ok(after);
    };
    // A quoted value may go on over the end of the line.
    let start = text.find(quote).map_or(text.len(), |position| position + 1);
    let (inside, rest) = quoted(&text[start..], quote).ok_or("a quote is never closed")?;
    let (tail, after) = rest.split_once('\n').unwrap_or((rest, ""));
    let tail = tail.trim();
    if !(tail.is_empty() || tail.starts_with('#')) {
        return Err("something stands after the closing quote".to_owned());
    }
    let value = if quote == '"' { lookup(variables, &unescape(inside))? } else { inside.to_owned() };
    put(variables, &key, value)?;
    Ok(after)
}

/// A fault without the name, which may be part of a secret with a dollar sign in it.
fn told(fault: &VariableFault) -> &'static str {
    match fault {
        VariableFault::Unset(_) => "a variable in this value is not set",
        VariableFault::Required { .. } => "a variable that this value requires is not set",
        VariableFault::Malformed(_) => "a `$` in this value begins no variable",
        VariableFault::TooLarge { .. } => "variables expand this value past the limit of 128 KiB",
    }
}

fn name(text: &str) -> Result<&str, String> {
    let valid = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
    // A line without a name may be a secret that lost its quotes, so it is not shown.
    if valid { Ok(text) } else { Err("no `KEY=value`".to_owned()) }
}

/// What stands before the closing quote, and what after.
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

/// `\n`, `\r`, `\t`, `\"`, `\\`, and `\$` for a dollar sign that is no variable.
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
        let told = parse(&bomb, &BTreeMap::new()).unwrap_err();
        assert!(told.starts_with("line 6: variables expand this value past the limit of 128 KiB"), "{told}");
        let many = format!("A={}\n{}", "a".repeat(100 << 10), "B=$A\nA=$B\n".repeat(50));
        let told = parse(&many, &BTreeMap::new()).unwrap_err();
        assert!(told.ends_with("the variables up to here come to more than 2 MiB"), "{told}");
        let names = (0..20_000).map(|number| format!("N{number}=")).collect::<Vec<_>>().join("\n");
        assert_eq!(parse(&names, &BTreeMap::new()).unwrap_err(), "line 10001: more than 10000 variables");
    }

    #[test]
    fn faults_name_the_line_and_no_value() {
        let fault = |text: &str| parse(text, &BTreeMap::new()).unwrap_err();
        assert_eq!(fault("A=1\ns3cret!\n"), "line 2: no `KEY=value`");
        assert_eq!(fault("A=\"s3cret\nB=2\n"), "line 1: a quote is never closed");
        assert_eq!(fault("A='s3cret' x\n"), "line 1: something stands after the closing quote");
        assert_eq!(
            fault("A=1\n\nB=s3$cret\n"),
            "line 3: a variable in this value is not set (single quotes keep a `$` as it is)"
        );
        for text in ["A=${B:?s3cret}", "A=s3cret\nB=${C:?$A}", "A=${s3!cret}", "A=\"$s3cret\""] {
            assert!(!fault(text).contains("s3"), "{text}: {}", fault(text));
        }
    }
}
