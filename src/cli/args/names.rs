//! Names on the command line that the manifest does not have: always an error, never ignored.

use std::collections::BTreeSet;
use std::fmt::Display;

use strsim::osa_distance;

use crate::cli::stop::{Code, EarlyExit};

/// Maximum edit distance of a suggested name.
const DISTANCE_MAX: usize = 3;

/// Refuses names that are not among the known ones. `what` is the noun for one of them.
pub(crate) fn check<N: Ord + Display>(
    what: &str,
    given: impl IntoIterator<Item = N>,
    known: impl IntoIterator<Item = N>,
) -> Result<(), EarlyExit> {
    let known: BTreeSet<N> = known.into_iter().collect();
    for name in given {
        if !known.contains(&name) {
            return Err(unknown_name(what, &name, &known));
        }
    }
    Ok(())
}

/// Returns the refusal of a name that is not among the known ones.
pub(crate) fn unknown_name<'a, N: Display + 'a>(
    what: &str,
    name: &N,
    known: impl IntoIterator<Item = &'a N>,
) -> EarlyExit {
    let known: Vec<String> = known.into_iter().map(ToString::to_string).collect();
    EarlyExit::refused(Code::UnknownName, unknown(what, &name.to_string(), &known))
}

fn unknown(what: &str, name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("the manifest has no {what} named {name}: it has no {what} at all");
    }
    let suggestion = suggestion(name, known.iter().map(String::as_str));
    let suggestion = suggestion.map(|candidate| format!(" (did you mean {candidate}?)")).unwrap_or_default();
    format!("the manifest has no {what} named {name}{suggestion}; it has {}", known.join(", "))
}

/// Returns the refusal of a word that no page of `lcm explain` has.
pub(crate) fn unknown_page<'a>(sought: &str, known: impl IntoIterator<Item = &'a str>) -> EarlyExit {
    let suggestion = suggestion(sought, known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    let message = format!("there is no page on {sought}{suggestion}; `lcm explain` lists all pages");
    EarlyExit::refused(Code::UnknownName, message)
}

/// Returns the refusal of words that many pages of `lcm explain` have.
pub(crate) fn ambiguous_page(sought: &str, titles: &[&str]) -> EarlyExit {
    let message = format!("several pages have the words {sought}, such as {}", titles.join(", "));
    EarlyExit::refused(Code::UnknownName, message).with(Vec::new(), Some("name one of them, or add a word".to_owned()))
}

/// Returns the nearest of the known names within [`DISTANCE_MAX`].
fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = known.into_iter().map(|candidate| (osa_distance(name, candidate), candidate)).min();
    let near = nearest.filter(|(distance, _)| *distance <= DISTANCE_MAX && *distance < name.chars().count());
    near.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{check, unknown};

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["comfyui".to_owned(), "ollama".to_owned()];
        assert_eq!(
            unknown("service", "olama", &known),
            "the manifest has no service named olama (did you mean ollama?); it has comfyui, ollama"
        );
        assert_eq!(unknown("service", "x", &known), "the manifest has no service named x; it has comfyui, ollama");
        assert_eq!(unknown("goal", "x", &[]), "the manifest has no goal named x: it has no goal at all");
        assert!(check("service", ["a"], ["a", "b"]).is_ok());
    }
}
