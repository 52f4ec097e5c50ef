//! Consent to a proposal: it is shown, and an operator is asked where it takes an answer. A question may stand for hours, and
//! the world does not: what was approved is what is carried out.

use std::io::{self, IsTerminal};

use crate::cli::args::OutputFormat;
use crate::cli::exit::Exit;
use crate::cli::job::ApplyJob;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::{answer, opened};
use crate::files::named;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Purpose};
use crate::model::snapshot::Proposal;
use crate::reconcile::{ActiveRun, Approval, ApprovedBy, comparison, propose_for_run};
use crate::report::print;
use crate::report::sheet::Sheet;
use crate::report::text::{self, TextOptions};
use crate::report::view::{InspectedCounts, PlanView};

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

/// Returns an approved proposal, by an operator's answer where it takes one.
pub(super) async fn reach(session: &Session, job: &ApplyJob, run: &ActiveRun<'_>) -> Result<Approval, EarlyExit> {
    let proposal = propose_for_run(run).await?;
    show(session, job, run, &proposal)?;
    match consent(job, run, &proposal.plan) {
        Consent::Given => Ok(Approval::new(proposal, ApprovedBy::Call)),
        Consent::Needed => ask(session, job, run, proposal).await,
        Consent::Impossible => {
            let message = "can't ask whether to go on, since standard input gave the manifest; nothing was done: give \
                           `--yes`, or name a file";
            Err(EarlyExit::refused(Code::Declined, message))
        }
    }
}

fn show(session: &Session, job: &ApplyJob, run: &ActiveRun<'_>, proposal: &Proposal) -> Result<(), EarlyExit> {
    let Proposal { snapshot, plan } = proposal;
    if job.execution.format != OutputFormat::Text || (session.quiet && !plan.steps.is_empty()) {
        return Ok(());
    }
    let looked = InspectedCounts::at(&snapshot.facts);
    let view = PlanView { plan, purpose: job.purpose, origin: opened::origin(run.cycle.project, &looked) };
    answer::data(&text::plan(view, TextOptions { verbose: session.verbose, style: session.stdout }))
}

/// Only at a terminal, and only where something that runs is stopped. Without one the merge was the approval.
fn consent(job: &ApplyJob, run: &ActiveRun<'_>, plan: &Plan) -> Consent {
    let stops = plan.steps.iter().any(|step| match step.action {
        // What is evicted in vain, is stopped.
        Action::Stop | Action::Remove | Action::Evict => true,
        Action::Scale => step.is_scale_down(),
        Action::Pause | Action::Unpause | Action::Update | Action::Wake | Action::Start => false,
    });
    let is_read = named::is_stdin(&job.manifest);
    let is_at_terminal = io::stderr().is_terminal() && (is_read || io::stdin().is_terminal());
    match stops && is_at_terminal && !job.execution.yes && !run.cycle.project.is_simulated() {
        false => Consent::Given,
        true if is_read => Consent::Impossible,
        true => Consent::Needed,
    }
}

/// Asks until what was approved is what would be done now.
async fn ask(
    session: &Session,
    job: &ApplyJob,
    run: &ActiveRun<'_>,
    mut shown: Proposal,
) -> Result<Approval, EarlyExit> {
    let project = run.cycle.project;
    // The command line names no mode.
    let follows_override = job.purpose == Purpose::Apply && job.choice.mode.is_none();
    let mut questions = 0;
    loop {
        questions += 1;
        if shown.plan.steps.iter().any(|step| step.action == Action::Evict) {
            session.say("What is evicted, and gives too little back, will be stopped.");
        }
        let mode = project.mode_override().await?;
        if !agreed().await {
            return Err(EarlyExit::refused(Code::Declined, "not agreed to; nothing was done"));
        }
        if follows_override && project.mode_override().await? != mode {
            let message = "the mode was switched since it was asked, and nothing was done; run it again";
            return Err(EarlyExit::new(Exit::Stale, Code::Stale, message));
        }
        let now = propose_for_run(run).await?;
        let differences = comparison::differences(&shown.plan, &now.plan);
        if differences.is_empty() {
            return Ok(Approval::new(now, ApprovedBy::Operator));
        }
        let changed = "what is to be done has changed since it was asked:";
        if questions == QUESTIONS_MAX {
            let advice = format!("so it was {QUESTIONS_MAX} times, and nothing was done; run it again");
            return Err(EarlyExit::new(Exit::Stale, Code::Stale, changed).with(differences, Some(advice)));
        }
        session.show(Sheet::new().line(changed).block(2, differences).output(session.stderr).trimmed());
        show(session, job, run, &now)?;
        if now.plan.steps.is_empty() {
            return Ok(Approval::new(now, ApprovedBy::Operator));
        }
        shown = now;
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
