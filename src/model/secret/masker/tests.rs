//! Tests of masking: a secret in every notation that a program is known to use, and texts that only resemble one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use crate::model::safe_text;
use crate::model::secret::{Masker, Secret};

fn masker(secrets: &[&str]) -> Masker {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
    Masker::of(secrets.iter())
}

fn joined<T>(items: impl Iterator<Item = T>, escape: impl Fn(T) -> String) -> String {
    items.map(escape).collect()
}

/// Returns the ways in which programs write a text into another.
fn written(secret: &str) -> Vec<(&'static str, String)> {
    let each = |escape: fn(u8) -> String| secret.bytes().map(escape).collect::<String>();
    let hex = each(|byte| format!("{byte:02x}"));
    let percent = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let json = serde_json::to_string(secret).unwrap();
    let mut all = vec![
        ("raw", secret.to_owned()),
        ("percent", each(percent)),
        ("percent, all", each(|byte| format!("%{byte:02x}"))),
        ("percent, twice", each(percent).replace('%', "%25")),
        ("form", secret.bytes().map(|byte| if byte == b' ' { "+".to_owned() } else { percent(byte) }).collect()),
        ("json", json.clone()),
        ("json, slashes", json.replace('/', "\\/")),
        ("json in json", serde_json::to_string(&json).unwrap()),
        ("json, all", joined(secret.encode_utf16(), |unit| format!("\\u{unit:04X}"))),
        ("rust", format!("{secret:?}")),
        ("c, hex", each(|byte| format!("\\x{byte:02x}"))),
        ("c, octal", each(|byte| format!("\\{byte:03o}"))),
        ("braces", joined(secret.chars(), |one| format!("\\u{{{:x}}}", u32::from(one)))),
        ("shell, quoted", format!("'{}'", secret.replace('\'', "'\\''"))),
        ("shell, spliced", format!("'{}'", secret.replace('\'', "'\"'\"'"))),
        (
            "shell, escaped",
            secret.chars().map(|one| if one.is_alphanumeric() { one.into() } else { format!("\\{one}") }).collect(),
        ),
        ("yaml", format!("'{}'", secret.replace('\'', "''"))),
        ("csv", format!("\"{}\"", secret.replace('"', "\"\""))),
        (
            "html",
            secret
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
        ),
        ("html, all", joined(secret.chars(), |one| format!("&#x{:x};", u32::from(one)))),
        ("hex", hex.clone()),
        ("hex, od", each(|byte| format!(" {byte:02x}"))),
        ("hex, fingerprint", each(|byte| format!("{byte:02x}:"))),
        (
            "hex, xxd",
            secret
                .as_bytes()
                .chunks(2)
                .map(|pair| pair.iter().map(|byte| format!("{byte:02x}")).chain([" ".into()]).collect::<String>())
                .collect(),
        ),
        ("hex, upper", hex.to_ascii_uppercase()),
    ];
    for (name, before) in [("base64", ""), ("base64, one on", "u"), ("base64, two on", "u:"), ("base64, user", "user:")]
    {
        let text = format!("{before}{secret}");
        all.push((name, STANDARD.encode(&text)));
        all.push((name, URL_SAFE_NO_PAD.encode(&text)));
        all.push((name, STANDARD.encode(format!("{text}\n"))));
        all.push((name, STANDARD.encode(&text).replace('=', "%3D").replace('/', "%2F").replace('+', "%2B")));
        all.push((name, serde_json::to_string(&STANDARD.encode(&text)).unwrap().replace('/', "\\/")));
    }
    all
}

#[test]
fn a_secret_shows_in_no_notation() {
    for secret in ["hf_0123456789abcdef", "s3cr/t+p\"a'ss wö\\rd&<x>%=?", "correct-horse"] {
        let masker = masker(&[secret]);
        for (name, form) in written(secret) {
            let masked = masker.mask(&format!("before <{form}> after"));
            assert!(masked.starts_with("before <") && masked.ends_with("> after"), "{name}: {form}: {masked}");
            assert!(masked.contains("***"), "{name}: {form}: {masked}");
            assert!(!masked.contains(&form), "{name}: {form}: {masked}");
            // No more of it than what surrounds a base64 text.
            let rest = masked.len() - "before <> after".len() - "***".len();
            assert!(rest <= 10, "{name}: {form}: {masked}");
        }
    }
}

#[test]
fn a_secret_shows_nowhere() {
    assert_eq!(format!("{:?}", Secret::new("hf_abc")), "***");
    assert_eq!(format!("{:?}", masker(&["hf_abc"])), "***");
    assert_eq!(masker(&["hf_abc", "hf_abcdef", "1"]).mask("1 token hf_abcdef and hf_abc"), "1 token *** and ***");
    assert_eq!(masker(&["hf_abcdef", "defghi"]).mask("<hf_abcdefghi>"), "<***>", "two that overlap");
}

#[test]
fn ports_and_words_are_no_secrets_even_where_they_are_declared() {
    let masker = masker(&["8188", "12345", "true", "False", "abc", ""]);
    assert!(masker.is_empty());
    assert_eq!(masker.mask("port 8188 is true"), "port 8188 is true");
}

#[test]
fn of_a_secret_of_several_lines_each_is_masked() {
    let key = "-----BEGIN KEY-----\n  MIIEvQIBADANBg\r\n}\nshort\n-----END KEY-----\n";
    let masker = masker(&[key, "hf_abc\n"]);
    let log = "{ MIIEvQIBADANBg }\nshort\nhf_abc\n-----END KEY-----";
    assert_eq!(masker.mask(log), "{ *** }\nshort\n***\n***");
    assert_eq!(masker.mask(&format!("<{}>", key.trim_end())), "<***>", "and all of it at once");
    assert_eq!(masker.mask(&format!("<{}>", key.trim_end().replace('\n', "\\n"))), "<***>", "as JSON has it");
    let wrapped: String =
        STANDARD.encode(key).as_bytes().chunks(20).flat_map(|line| [line, b"\n"].concat()).map(char::from).collect();
    assert!(!masker.mask(&wrapped).contains("TUlJRXZRSUJBREFOQm"), "{}", masker.mask(&wrapped));
}

#[test]
fn no_cut_goes_through_a_secret() {
    let both = masker(&["hf_abcdef", "defghi"]);
    let text = b"0123hf_abcdefghi4567890123456789";
    for at in 0..20 {
        // The two overlap, and are one for a cut.
        let expected = if (5..16).contains(&at) { 16 } else { at };
        assert_eq!(both.cut(text, at), expected, "at {at}");
    }
    assert_eq!(Masker::default().cut(text, 7), 7);
    let escaped = b"0123\\u0068f_abcdef4567890123456789";
    assert_eq!(masker(&["hf_abcdef"]).cut(escaped, 8), 18, "an escaped one is as whole");
}

#[test]
fn beside_the_mark_of_a_cut_no_half_is_shown() {
    let masker = masker(&["hf_0123456789abcdef"]);
    assert_eq!(masker.mask("the answer is \"hf_0123456…"), "the answer is \"***…");
    assert_eq!(masker.mask("first\nhf_01234\n…\n89abcdef\nlast"), "first\n***\n…\n***\nlast");
    assert_eq!(masker.mask("no hf_0123 here, hf…"), "no hf_0123 here, hf…", "elsewhere it may be a word");
}

/// Left out when a line is shown, they would put together what was apart when it was masked.
#[test]
fn codes_and_shapeless_letters_within_a_secret_do_not_hide_it() {
    let masker = masker(&["hf_0123456789"]);
    let codes = [
        "\u{1b}[31m",
        "\u{1b}[0m",
        "\0",
        "\r",
        "\u{8}",
        "\u{7f}",
        "\u{200b}",
        "\u{200d}",
        "\u{ad}",
        "\u{301}",
        "\u{1b}]0;t\u{7}",
        "\u{9b}1m",
    ];
    for code in codes {
        let (apart, each) = (
            format!("hf_01{code}23456789"),
            "hf_0123456789".chars().flat_map(|one| [one.to_string(), code.to_owned()]).collect::<String>(),
        );
        assert_eq!(masker.mask(&format!("<{apart}>")), "<***>", "{code:?}");
        assert!(!safe_text::line(&masker.mask(&format!("<{each}>"))).contains("0123"), "{code:?}");
    }
}

#[test]
fn stars_of_the_same_width_move_nothing() {
    let masker = masker(&["wörd-of-mine"]);
    let masked = masker.mask_in_width("a: wörd-of-mine\nb: 1\n");
    assert_eq!(masked, "a: *************\nb: 1\n");
}

#[test]
fn json_keeps_its_keys_and_numbers() {
    let mut value = serde_json::json!({ "hf_abcdef": ["x hf_abcdef", 123_456, null], "b": { "c": "hf\\u005fabcdef" } });
    masker(&["hf_abcdef", "123456"]).mask_json(&mut value);
    assert_eq!(value, serde_json::json!({ "hf_abcdef": ["x ***", 123_456, null], "b": { "c": "***" } }));
}

proptest! {
    /// Any secret, with any text around it.
    #[test]
    fn any_secret_is_masked_in_any_notation(secret in "[!-~][ -~é]{6,30}[!-~]", around in "[a-z :/=\"\\\\%&]{0,12}") {
        let secret = format!("k{secret}");
        let masker = masker(&[&secret]);
        for (name, form) in written(&secret) {
            let masked = masker.mask(&format!("{around} {form} {around}"));
            prop_assert!(!masked.contains(&form), "{}: {:?} in {:?}", name, form, masked);
        }
    }

    /// Text without a secret stays as it is, byte by byte.
    #[test]
    fn text_without_a_secret_is_left_alone(text in "\\PC{0,200}") {
        prop_assert_eq!(masker(&["hf_0123456789abcdef", "s3cr/t+pass word"]).mask(&text), text);
    }
}
