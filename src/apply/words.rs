//! What operators say while a run is under way: heard before each step and after each of its waits, so that what was
//! planned before a word came is not done after it. And pausing, which only a word asks for.

use std::collections::BTreeMap;

use super::expect::of_pause;
use super::pending;
use super::record::Cursor;
use super::run::Run;
use super::stop::look_first;
use super::verdict::{Trouble, Verdict};
use crate::model::event::Stage;
use crate::model::lifecycle::Action;
use crate::model::names::ServiceName;
use crate::model::plan::{Purpose, ReasonCode, Step};
use crate::model::words::{Said, Word};
use crate::runtime::Pause;

/// Why a step is not to be taken any more, by what operators say now.
pub(super) fn forbids(run: &Run<'_>, step: &Step) -> Option<String> {
    let said = match run.context.store.words(&run.context.desired.project) {
        Ok(words) => {
            run.ledger().said.clone_from(&words.services);
            words.services.get(&step.service).cloned()
        }
        Err(error) => {
            run.deaf(&error);
            if run.context.request.purpose != Purpose::Down {
                return Some(format!("whether an operator holds it can't be read: {error}"));
            }
            // What was heard last holds.
            run.ledger().said.get(&step.service).cloned()
        }
    };
    let Some(said) = said else { return taken_back(step) };
    let may = match said.word {
        Word::Maintain => false,
        Word::Suspend => step.action == Action::Pause,
        Word::Terminate => matches!(step.action, Action::Stop | Action::Remove),
    };
    (!may).then(|| format!("an operator said {} meanwhile ({})", said.word, said.by_whom()))
}

/// What is done for the sake of a word alone, is not done once that is gone.
fn taken_back(step: &Step) -> Option<String> {
    let for_a_word = matches!(step.reason.code, ReasonCode::Terminated | ReasonCode::Suspended);
    for_a_word.then(|| "an operator took that back meanwhile".to_owned())
}

impl Run<'_> {
    /// What goes with an operator's word into the history.
    pub(super) fn said_of(&self, service: &ServiceName) -> BTreeMap<String, String> {
        let metadata = |said: &Said| said.metadata.clone();
        self.ledger().said.get(service).map(metadata).unwrap_or_default()
    }
}

/// Freezes what an operator suspended.
pub(super) async fn pause(run: &Run<'_>, step: &Step) -> Verdict {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let (Some(service), Some(instance)) = (desired.services.get(&step.service), &step.expect.instance) else {
        return Verdict::Stale("the plan names nothing to pause".to_owned());
    };
    if let Err(verdict) = look_first(run, service, |look| of_pause(step, look)).await {
        return verdict;
    }
    if let Err(verdict) = pending::begin(run, step, None, true) {
        return verdict;
    }
    run.stage(step, Stage::Stop, None);
    run.ledger().changed = true;
    let pause = Pause { project: &desired.project, service: &step.service, instance };
    match driver.pause(&pause).await {
        Ok(()) => {
            Cursor::at(run, step).walk_to_last();
            Verdict::Done
        }
        Err(error) => Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error.to_string())),
    }
}
