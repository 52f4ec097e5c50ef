//! Record of one call of a hook or notifier, masked and bounded, in the store and as an event.

use crate::apply::run::Run;
use crate::model::call::Call;
use crate::model::event::{CallOutcome, EventKind};
use crate::model::hooks::HookPayload;
use crate::model::names::ServiceName;
use crate::model::safe_text;
use crate::store::{Called, JournalEntry, PendingChange};

/// Bytes that are kept of one output, half from its beginning and half from its end: an error takes a line or two, and
/// a thousand calls come to four megabytes.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// Characters that are kept of a call's name: a whole script may stand where a program is expected.
const NAME_CHARS_MAX: usize = 60;

/// Result of a call, masked and bounded.
pub(in crate::apply) struct CallReport<'a> {
    pub(in crate::apply) payload: &'a HookPayload,
    pub(in crate::apply) call: String,
    pub(in crate::apply) outcome: CallOutcome,
    pub(in crate::apply) took_ms: u64,
    pub(in crate::apply) error: Option<String>,
    pub(in crate::apply) output: String,
}

/// Records a call together with a change of the pending ones, and reports it. Returns the ids of those that are added.
pub(in crate::apply) async fn report(run: &Run<'_>, report: CallReport<'_>, pending: PendingChange<'_>) -> Vec<u64> {
    let CallReport { payload, call, outcome, took_ms, error, output } = report;
    let service: ServiceName = payload.service.clone();
    let called = Called {
        at: payload.at,
        project: payload.project.clone(),
        service: service.clone(),
        run: payload.run.clone(),
        hook: payload.hook.as_str().to_owned(),
        call: call.clone(),
        took_ms,
        error: error.clone(),
        output: output.clone(),
    };
    let entry = JournalEntry { call: Some(&called), pending, ..JournalEntry::of(&payload.project) };
    let added = run.context.store.write(&entry).await.unwrap_or_else(|error| {
        run.store_failed(&error);
        Vec::new()
    });
    run.emit(EventKind::Hook { service, hook: payload.hook, call, outcome, error, output, took_ms });
    added
}

/// Returns the call in one short line.
pub(in crate::apply) fn named(run: &Run<'_>, call: &Call) -> String {
    // Masked before it is shortened: a part of a secret would not be recognised.
    let whole = run.mask(&call.to_string());
    let line = whole.lines().next().unwrap_or_default();
    let short: String = line.chars().take(NAME_CHARS_MAX).collect();
    if short == whole { short } else { format!("{short}…") }
}

/// Returns the beginning and the end of an output, without terminal control sequences.
pub(in crate::apply) fn shortened(text: &str) -> String {
    let text = safe_text::lines(text, false);
    if text.len() <= OUTPUT_BYTES_MAX {
        return text;
    }
    let head = &text[..text.floor_char_boundary(OUTPUT_BYTES_MAX / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - OUTPUT_BYTES_MAX / 2)..];
    format!("{head}\n…\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::{OUTPUT_BYTES_MAX, shortened};

    #[test]
    fn of_a_long_output_both_ends_are_kept() {
        assert_eq!(shortened("well\r\n\u{1b}[31mdone\tnow"), "well\ndone\tnow");
        let text = format!("first\n{}last", "é".repeat(OUTPUT_BYTES_MAX));
        let short = shortened(&text);
        assert!(short.starts_with("first\n") && short.ends_with("last") && short.contains("\n…\n"));
        assert!(short.len() <= OUTPUT_BYTES_MAX + 10, "{}", short.len());
    }
}
