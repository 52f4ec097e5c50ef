//! Approval of a proposal: the plan is shown, and an operator confirms it where it stops something. A question may stay
//! open for hours while the machine changes, so only a plan that equals the approved one is carried out.

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

/// Maximum number of questions: a machine that changes during each of them has no plan to approve.
const QUESTIONS_MAX: usize = 3;

/// Approval that a plan needs before it is carried out.
enum Consent {
    /// Given by `--yes`, or not needed: nothing is stopped, or there is no terminal.
    Given,
    Needed,
    /// Needed, but standard input is the manifest and can't bring an answer.
    Impossible,
}

/// Returns an approved proposal, after an operator's confirmation where one is needed.
pub(super) async fn reach(session: &Session, job: &ApplyJob, run: &ActiveRun<'_>) -> Result<Approval, EarlyExit> {
    let proposal = propose_for_run(run).await?;
    show(session, job, run, &proposal)?;
    match consent(job, run, &proposal.plan) {
        Consent::Given => Ok(Approval::new(proposal, ApprovedBy::Call)),
        Consent::Needed => ask(session, job, run, proposal).await,
        Consent::Impossible => {
            let message = "can't ask for confirmation: standard input is the manifest; nothing changed; add `--yes` or \
                           name a manifest file";
            Err(EarlyExit::refused(Code::Declined, message))
        }
    }
}

fn show(session: &Session, job: &ApplyJob, run: &ActiveRun<'_>, proposal: &Proposal) -> Result<(), EarlyExit> {
    let Proposal { snapshot, plan } = proposal;
    if job.execution.format != OutputFormat::Text || (session.quiet && !plan.steps.is_empty()) {
        return Ok(());
    }
    let inspected = InspectedCounts::at(&snapshot.facts);
    let view = PlanView { plan, purpose: job.purpose, origin: opened::origin(run.cycle.project, &inspected) };
    answer::data(&text::plan(view, TextOptions { verbose: session.verbose, style: session.stdout }))
}

/// Returns the approval that a plan needs: a confirmation only at a terminal, and only where something that runs is
/// stopped. Without a terminal the merge was the approval.
fn consent(job: &ApplyJob, run: &ActiveRun<'_>, plan: &Plan) -> Consent {
    let stops = plan.steps.iter().any(|step| match step.action {
        // An eviction that frees too little becomes a stop.
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

/// Repeats the question until the approved plan equals a plan made now.
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
            session.say("Evicted services that free too little memory will be stopped.");
        }
        let mode = project.mode_override().await?;
        if !confirmed().await {
            return Err(EarlyExit::refused(Code::Declined, "cancelled; nothing changed"));
        }
        if follows_override && project.mode_override().await? != mode {
            let message = "the mode was switched while the question was open; nothing changed; run the command again";
            return Err(EarlyExit::new(Exit::Stale, Code::Stale, message));
        }
        let now = propose_for_run(run).await?;
        let differences = comparison::differences(&shown.plan, &now.plan);
        if differences.is_empty() {
            return Ok(Approval::new(now, ApprovedBy::Operator));
        }
        let changed = "the plan changed while the question was open:";
        if questions == QUESTIONS_MAX {
            let advice = format!("this happened {QUESTIONS_MAX} times; nothing was applied; run the command again");
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

/// Prompts on stderr, and returns true if the answer is yes. The wait has a thread of its own, so that signals are
/// handled meanwhile.
async fn confirmed() -> bool {
    print::ask("Apply this plan? [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    match answer.await {
        Ok(Ok(line)) => matches!(line.trim().to_lowercase().as_str(), "y" | "yes"),
        Ok(Err(_)) | Err(_) => false,
    }
}
