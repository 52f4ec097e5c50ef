//! Lifecycle states on the command line.

use crate::model::lifecycle::State;

/// Parses a lifecycle state, for clap.
pub(crate) fn state(word: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.as_str() == word);
    found.ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("the states are {}", words.join(", "))
    })
}
