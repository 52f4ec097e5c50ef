//! What is to be done, looked at, shown, and agreed to. A question may stand for hours, and the world does not: what was
//! agreed to is what is done.

use std::io::{self, IsTerminal};

use crate::apply;
use crate::cli::args::Format;
use crate::cli::command::oneshot;
use crate::cli::exit::Exit;
use crate::cli::job::Job;
use crate::cli::opened::Opened;
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::cli::{answer, saved};
use crate::files::named;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Purpose, Request};
use crate::model::snapshot::Proposal;
use crate::report::print;
use crate::report::sheet::Sheet;
use crate::report::text::{self, Setting};
use crate::report::view::{Looked, View};
use crate::store::{Author, StoreError};

/// A world that never stands still long enough for an answer is nothing to go on with.
const QUESTIONS_MAX: usize = 3;

/// Consent to a plan before it is carried out.
enum Consent {
    /// By `--yes`, or because nothing is stopped, or because no one sits at a terminal.
    Given,
    Needed,
    /// It is needed, and standard input can't bring an answer.
    Impossible,
}

/// For whom is looked and thought.
pub(super) struct Agreement<'a> {
    pub(super) session: &'a Session,
    pub(super) job: &'a Job,
    pub(super) opened: &'a Opened,
    pub(super) request: &'a Request,
    /// What was agreed to elsewhere.
    pub(super) saved: Option<&'a Plan>,
    pub(super) author: &'a Author,
    pub(super) tell_of_store: &'a dyn Fn(&StoreError),
}

impl Agreement<'_> {
    /// What is to be done, on somebody's word where it takes one.
    pub(super) async fn reach(&self) -> Result<Proposal, Stop> {
        let proposal = self.propose().await?;
        self.show(&proposal)?;
        match self.consent(&proposal.plan) {
            Consent::Given => Ok(proposal),
            Consent::Needed => self.ask(proposal).await,
            Consent::Impossible => {
                let message = "can't ask whether to go on, since standard input gave the manifest; nothing was done: give \
                               `--yes`, or name a file";
                Err(Stop::refused(Code::Declined, message))
            }
        }
    }

    async fn propose(&self) -> Result<Proposal, Stop> {
        let Self { session, opened, request, author, .. } = *self;
        if request.purpose != Purpose::Down {
            opened.hear()?;
        }
        let snapshot = opened.snapshot(session).await?;
        opened.refuse_other_hosts(&snapshot.facts)?;
        opened.refuse_if_all_unknown(&snapshot, request)?;
        let look = apply::Look { desired: &opened.desired, snapshot: &snapshot, author };
        apply::record_seen(opened.store(), look).unwrap_or_else(|error| (self.tell_of_store)(&error));
        oneshot::refuse_held(opened, &snapshot, request)?;
        let snapshot = oneshot::resume(opened, snapshot, request);
        let plan = opened.plan(&snapshot, request)?;
        if let Some(saved) = self.saved {
            saved::check(saved, &plan)?;
        }
        Ok(Proposal { snapshot, plan })
    }

    fn show(&self, proposal: &Proposal) -> Result<(), Stop> {
        let Self { session, job, opened, .. } = *self;
        let Proposal { snapshot, plan } = proposal;
        if job.execution.format != Format::Text || (session.quiet && !plan.steps.is_empty()) {
            return Ok(());
        }
        let looked = Looked::at(&snapshot.facts);
        let view = View { plan, purpose: job.purpose, origin: opened.origin(&looked) };
        answer::data(&text::plan(view, Setting { verbose: session.verbose, style: session.stdout }))
    }

    /// Only at a terminal, and only where something that runs is stopped. Without one the merge was the approval.
    fn consent(&self, plan: &Plan) -> Consent {
        let stops = plan.steps.iter().any(|step| match step.action {
            // What is evicted in vain, is stopped.
            Action::Stop | Action::Remove | Action::Evict => true,
            Action::Pause | Action::Unpause | Action::Update | Action::Wake | Action::Start => false,
        });
        let is_read = named::is_stdin(&self.job.manifest);
        let is_at_terminal = io::stderr().is_terminal() && (is_read || io::stdin().is_terminal());
        match stops && is_at_terminal && !self.job.execution.yes && !self.opened.is_simulated() {
            false => Consent::Given,
            true if is_read => Consent::Impossible,
            true => Consent::Needed,
        }
    }

    /// Nobody said here which mode is meant.
    fn follows_a_word(&self) -> bool {
        self.job.purpose == Purpose::Apply && self.job.choice.mode.is_none()
    }

    /// Asks until what was agreed to is what would be done now.
    async fn ask(&self, mut shown: Proposal) -> Result<Proposal, Stop> {
        let mut questions = 0;
        loop {
            questions += 1;
            if shown.plan.steps.iter().any(|step| step.action == Action::Evict) {
                self.session.say("What is evicted, and gives too little back, will be stopped.");
            }
            let mode = self.opened.mode_override()?;
            if !agreed().await {
                return Err(Stop::refused(Code::Declined, "not agreed to; nothing was done"));
            }
            if self.follows_a_word() && self.opened.mode_override()? != mode {
                let message = "the mode was switched since it was asked, and nothing was done; run it again";
                return Err(Stop::new(Exit::Stale, Code::Stale, message));
            }
            let now = self.propose().await?;
            let differences = saved::differences(&shown.plan, &now.plan);
            if differences.is_empty() {
                return Ok(now);
            }
            let changed = "what is to be done has changed since it was asked:";
            if questions == QUESTIONS_MAX {
                let advice = format!("so it was {QUESTIONS_MAX} times, and nothing was done; run it again");
                return Err(Stop::new(Exit::Stale, Code::Stale, changed).with(differences, Some(advice)));
            }
            self.session.show(Sheet::new().line(changed).block(2, differences).output(self.session.stderr).trimmed());
            self.show(&now)?;
            if now.plan.steps.is_empty() {
                return Ok(now);
            }
            shown = now;
        }
    }
}

/// Asks on stderr. The answer is waited for beside the work of hearing an interrupt.
async fn agreed() -> bool {
    print::ask("Do this? [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    match answer.await {
        Ok(Ok(line)) => matches!(line.trim().to_lowercase().as_str(), "y" | "yes"),
        Ok(Err(_)) | Err(_) => false,
    }
}
