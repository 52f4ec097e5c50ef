//! Splits a command line into words, as Compose does for containers: quotes and backslashes are special, nothing else.

/// Splits a command line; `Err`: the reason why it is malformed.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                // A pair of quotes alone is an empty word.
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let escaped = characters.next().ok_or("it ends in a backslash")?;
                let word = word.get_or_insert_default();
                // Between double quotes a backslash is literal, except before these.
                if quote.is_some() && !"\"\\$`".contains(escaped) {
                    word.push('\\');
                }
                word.push(escaped);
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None | Some(_), _) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_and_quotes() {
        for (line, wanted) in [
            ("serve --port 80", vec!["serve", "--port", "80"]),
            ("  a   'b c' \"d e\"f ", vec!["a", "b c", "d ef"]),
            (r#"a\ b "c\"d" 'e\f' "g\h" """#, vec!["a b", "c\"d", r"e\f", r"g\h", ""]),
        ] {
            assert_eq!(split(line).unwrap(), wanted, "{line}");
        }
        assert!(split("a 'b").is_err() && split("a\\").is_err());
    }
}
