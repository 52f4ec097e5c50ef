//! Names on the command line that the manifest does not have: never skipped in silence.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::cli::stop::Stop;

/// Further off than this, a name was not meant.
const DISTANCE_MAX: usize = 3;

/// Refuses what is not among the known names. `what` is the word for one of them.
pub(super) fn check<N: Ord + Display>(
    what: &str,
    given: impl IntoIterator<Item = N>,
    known: impl IntoIterator<Item = N>,
) -> Result<(), Stop> {
    let known: BTreeSet<N> = known.into_iter().collect();
    for name in given {
        if !known.contains(&name) {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            return Err(Stop::refused(unknown(what, &name.to_string(), &known)));
        }
    }
    Ok(())
}

fn unknown(what: &str, name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return format!("the manifest has no {what} named {name}: it has no {what} at all");
    }
    let nearest = known.iter().map(|candidate| (distance(name, candidate), candidate)).min();
    let meant = nearest.filter(|(distance, _)| *distance <= DISTANCE_MAX && *distance < name.chars().count());
    let meant = meant.map(|(_, candidate)| format!("did you mean {candidate}? ")).unwrap_or_default();
    format!("the manifest has no {what} named {name}; {meant}it has {}", known.join(", "))
}

/// How many letters must be put in, taken out or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{check, distance, unknown};

    #[test]
    fn what_was_meant_is_offered() {
        let known = ["comfyui".to_owned(), "ollama".to_owned()];
        assert_eq!(
            unknown("service", "olama", &known),
            "the manifest has no service named olama; did you mean ollama? it has comfyui, ollama"
        );
        assert_eq!(unknown("service", "x", &known), "the manifest has no service named x; it has comfyui, ollama");
        assert_eq!(unknown("goal", "x", &[]), "the manifest has no goal named x: it has no goal at all");
        assert!(check("service", ["a"], ["a", "b"]).is_ok());
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("a", "a")), (3, 3, 0));
    }
}
