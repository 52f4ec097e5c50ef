//! Patterns of texts for the schema: as much of the reader's rules as a regular expression can have, so that an editor
//! underlines what `lcm validate` refuses. A text with a variable (`$`) can become anything, and matches each.

/// Port from 1 to 65535; as in the reader, zeros may stand before it.
macro_rules! port {
    () => {
        "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    };
}

/// Host as a name, an IPv4 address, or an IPv6 address in brackets.
macro_rules! host {
    () => {
        r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    };
}

/// URL over plain HTTP, without user and password.
pub(crate) const URL_PATTERN: &str = concat!("^http://", host!(), "(:", port!(), r")?([/?#][^\s]*)?$|\$");
/// Port of this machine, or `HOST:PORT`.
pub(crate) const ADDRESS_PATTERN: &str = concat!("^(", host!(), ":)?", port!(), r"$|\$");
/// Published port: `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, with ranges.
pub(crate) const PUBLISHED_PORT_PATTERN: &str = concat!(
    r"^((([0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\]):)?(",
    port!(),
    "(-",
    port!(),
    ")?)?:)?",
    port!(),
    "(-",
    port!(),
    r")?(/(tcp|udp))?$|\$"
);

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::{ADDRESS_PATTERN, PUBLISHED_PORT_PATTERN, URL_PATTERN};
    use crate::syntax::ports;

    #[test]
    fn published_ports_are_those_that_the_reader_takes() {
        let pattern = Regex::new(PUBLISHED_PORT_PATTERN).expect("a pattern");
        for text in [
            "80",
            "080",
            "8080:80",
            "127.0.0.1:8080:80",
            "[::1]:8080:80",
            "127.0.0.1::80",
            "3000-3002:80-82",
            "53:53/udp",
            "x",
            "0:80",
            "80:0",
            "80:80/sctp",
            "99999:80",
            "65536",
            "65535",
            "-1",
            "80:",
            "1.5",
            "",
        ] {
            assert_eq!(pattern.is_match(text), ports::parse(text).is_ok(), "{text}");
        }
        assert!(pattern.is_match("${PORT}:80"));
    }

    #[test]
    fn urls_and_addresses_have_a_port_that_exists() {
        let url = Regex::new(URL_PATTERN).expect("a pattern");
        for text in ["http://localhost:8188/x?y=1", "http://[::1]:1", "http://a", "http://a?x", "${URL}"] {
            assert!(url.is_match(text), "{text}");
        }
        for text in ["https://localhost", "localhost:80", "http://", "http://a:99999", "http://u:p@a/", "http://a b/"] {
            assert!(!url.is_match(text), "{text}");
        }
        let address = Regex::new(ADDRESS_PATTERN).expect("a pattern");
        assert!(["5432", "db:5432", "[::1]:5432"].iter().all(|text| address.is_match(text)));
        assert!(!["0", "70000", "db", "db:", ":1", "a/b:1"].iter().any(|text| address.is_match(text)));
    }
}
