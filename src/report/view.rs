//! Texts common to every form of a plan: its origin, its result, the rest that is not done and the reasons. Text,
//! Markdown and HTML only lay it out.
//!
//! Reasons are the planner's own sentences; nothing is explained here that the plan does not contain.

pub(super) mod entry;
mod inspected;
pub(super) mod memory;

use jiff::Timestamp;

use crate::model::desired::ModeSource;
use crate::model::holds::{ModeOverride, author};
use crate::model::lifecycle::State;
use crate::model::names::GoalName;
use crate::model::network::NetworkChange;
use crate::model::plan::{OrphanLine, PendingStatus, Plan, Purpose};
use crate::model::safe_text;
use crate::report::table::{counted, joined};

pub use inspected::InspectedCounts;

/// Plan, and facts about it.
#[derive(Clone, Copy, Debug)]
pub struct PlanView<'a> {
    pub plan: &'a Plan,
    pub purpose: Purpose,
    pub origin: PlanOrigin<'a>,
}

/// Origin of a plan.
#[derive(Clone, Copy, Debug)]
pub enum PlanOrigin<'a> {
    /// Made for the reader, from the current observation.
    Now {
        mode_source: ModeSource,
        /// Mode override that is in force, if there is one.
        switched: Option<&'a ModeOverride>,
        inspected: &'a InspectedCounts,
    },
    /// Read from a file.
    Saved(&'a Freshness),
}

/// Freshness of a saved plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Planning again now gives the same steps.
    Valid,
    /// Planning again gives different steps; the differences, a line each.
    Stale(Vec<String>),
    /// Not known, for this reason.
    Unknown(String),
}

impl Freshness {
    /// Returns the freshness as one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Valid => "It is still valid: planning again now gives the same steps.".to_owned(),
            Self::Stale(_) => {
                "It is stale: planning again now gives a different plan; `lcm apply --plan` would refuse this one."
                    .to_owned()
            }
            Self::Unknown(why) => format!("It is not known whether it is still valid: {why}."),
        }
    }

    /// Returns the differences, where they are known.
    #[must_use]
    pub fn differences(&self) -> &[String] {
        match self {
            Self::Stale(differences) => differences,
            Self::Valid | Self::Unknown(_) => &[],
        }
    }
}

impl<'a> PlanView<'a> {
    /// Returns time and host of a saved plan, and its freshness; `None` for a plan that was just made.
    pub(super) fn saved(&self) -> Option<(String, &'a Freshness)> {
        match self.origin {
            PlanOrigin::Now { .. } => None,
            PlanOrigin::Saved(standing) => Some((made(self.plan.observed_at, &self.plan.host), standing)),
        }
    }

    /// Returns `studio`, `mode video (manifest)`, `goals narrate`, `host box`, `engine … 20.10`.
    pub(super) fn parts(&self) -> Vec<String> {
        let plan = self.plan;
        let mut parts = vec![plan.project.to_string()];
        if self.purpose == Purpose::Apply {
            parts.push(self.mode());
            if !plan.goals.is_empty() {
                let goals: Vec<&str> = plan.goals.iter().map(GoalName::as_str).collect();
                parts.push(format!("goals {}", goals.join(", ")));
            }
        }
        parts.push(format!("host {}", plan.host));
        parts.extend(plan.engine.iter().map(|engine| format!("engine {engine}")));
        parts
    }

    /// Returns the command that made the plan: `lcm plan`, or the one that shows it before it acts.
    pub(super) fn command(&self) -> &'static str {
        match self.purpose {
            Purpose::Apply => "lcm plan",
            Purpose::Down => "lcm down",
            Purpose::Start => "lcm start",
            Purpose::Stop => "lcm stop",
            Purpose::Restart => "lcm restart",
        }
    }

    fn mode(&self) -> String {
        let source = match self.origin {
            PlanOrigin::Saved(_) => "saved plan".to_owned(),
            PlanOrigin::Now { mode_source: ModeSource::Manifest, .. } => "manifest".to_owned(),
            PlanOrigin::Now { mode_source: ModeSource::CommandLine, .. } => "command line".to_owned(),
            PlanOrigin::Now { mode_source: ModeSource::Override, switched, .. } => {
                switched.map_or_else(|| "switched".to_owned(), switched_by)
            }
        };
        self.plan.mode.as_ref().map_or_else(|| "all services".to_owned(), |mode| format!("mode {mode} ({source})"))
    }

    /// Returns the operator who switched to the mode in force, with a semicolon before; empty without a mode override.
    fn switched(&self) -> String {
        match self.origin {
            PlanOrigin::Now { switched: Some(switched), .. } => format!("; {}", switched_by(switched)),
            PlanOrigin::Now { switched: None, .. } | PlanOrigin::Saved(_) => String::new(),
        }
    }

    /// Returns the inspected objects: `inspected 3 containers and 1 GPU`; a file does not record them.
    fn inspected(&self) -> Option<String> {
        match self.origin {
            PlanOrigin::Now { inspected, .. } => Some(inspected.to_string()),
            PlanOrigin::Saved(_) => None,
        }
    }

    /// Returns the one sentence of a plan without steps.
    pub(super) fn nothing(&self) -> String {
        let plan = self.plan;
        let inspected = self.inspected();
        let evidence = inspected.as_ref().map(|inspected| format!(" ({inspected})")).unwrap_or_default();
        let mode = plan.mode.as_ref().map(|_| format!(" in {}", self.mode())).unwrap_or_default();
        if !plan.blocked.is_empty() {
            let are = if plan.blocked.len() == 1 { "is" } else { "are" };
            let services = counted(plan.blocked.len(), "service", "services");
            if plan.request.strict {
                let why = format!("because `--strict` is set and {services} {are} blocked");
                return format!("Nothing is changed{mode}, {why}{evidence}.");
            }
            return format!("Nothing can be done now{mode}: {services} {are} blocked{evidence}.");
        }
        let spent = plan.held.iter().filter(|held| held.reason.code.is_of_budget()).count();
        if spent > 0 && !matches!(self.purpose, Purpose::Down | Purpose::Stop) {
            let (budget, permits) = if spent == 1 { ("budget", "permits") } else { ("budgets", "permit") };
            let services = counted(spent, "service", "services");
            return format!(
                "Nothing can be done now{mode}: the restart {budget} of {services} {permits} no start{evidence}."
            );
        }
        let running = plan.kept.iter().filter(|kept| !kept.state.is_not_running()).count();
        match self.purpose {
            Purpose::Apply => {}
            Purpose::Down if plan.held.is_empty() && plan.orphans.is_empty() => {
                return format!("Nothing to do: no service of {} is running{evidence}.", plan.project);
            }
            Purpose::Down => {
                return format!("Nothing to do: no service of {} is running except held ones{evidence}.", plan.project);
            }
            Purpose::Start | Purpose::Restart => {
                return format!("Nothing to do: {}{evidence}.", named(plan, "running"));
            }
            Purpose::Stop => return format!("Nothing to do: {}{evidence}.", named(plan, "off")),
        }
        let one = plan.kept.len() == 1;
        let matches = if one { "matches" } else { "match" };
        let target = plan.mode.as_ref().map_or_else(|| "the manifest".to_owned(), |mode| format!("mode {mode}"));
        let services = counted(plan.kept.len(), "service", "services");
        let off = plan.kept.len() - running;
        let held = match plan.held.len() {
            0 => String::new(),
            1 => "; 1 other service is held".to_owned(),
            held => format!("; {held} other services are held"),
        };
        let evidence = inspected.map(|inspected| format!("; {inspected}")).unwrap_or_default();
        let counts = format!("{running} running, {off} off{}{evidence}", self.switched());
        format!("Nothing to do: {services} of {} already {matches} {target} ({counts}){held}.", plan.project)
    }

    /// Returns the plan's result as a sentence.
    pub(super) fn headline(&self) -> String {
        if self.plan.is_idle() { self.nothing() } else { format!("Plan: {}.", summary(self.plan)) }
    }
}

/// Returns `switched to by kim at 2026-11-21T14:02:05Z, reason: rendering`.
fn switched_by(switched: &ModeOverride) -> String {
    format!("switched to by {}", author(&switched.by, switched.since, switched.reason.as_deref()))
}

/// Returns `made on box at 2026-11-20 10:00:00 UTC`.
fn made(at: Timestamp, host: &str) -> String {
    format!("made on {host} at {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// Returns `comfyui and ollama are already running`.
fn named(plan: &Plan, state: &str) -> String {
    let names: Vec<String> = plan.request.targets.iter().map(ToString::to_string).collect();
    format!("{} {} already {state}", joined(&names), if names.len() == 1 { "is" } else { "are" })
}

/// Entry without a step, and the reason.
#[derive(Clone, Debug)]
pub(super) struct ServiceNote {
    pub(super) symbol: &'static str,
    pub(super) verb: &'static str,
    pub(super) service: String,
    pub(super) state: Option<State>,
    pub(super) why: String,
}

/// Returns services that run, or are off, as they should.
pub(super) fn kept(plan: &Plan) -> Vec<ServiceNote> {
    let kept = plan.kept.iter().map(|kept| ServiceNote {
        symbol: "=",
        verb: "kept",
        service: kept.service.to_string(),
        state: Some(kept.state),
        why: kept.message.clone(),
    });
    kept.collect()
}

/// Returns services that keep running until a blocked one can start.
pub(super) fn left_running(plan: &Plan) -> Vec<ServiceNote> {
    let left = plan.left.iter().map(|left| ServiceNote {
        symbol: "=",
        verb: "left",
        service: left.service.to_string(),
        state: Some(left.state),
        why: left.message.clone(),
    });
    left.collect()
}

/// Returns calls of hooks and notifiers that earlier runs did not complete.
pub(super) fn pending(plan: &Plan) -> Vec<ServiceNote> {
    let pending = plan.pending.iter().map(|line| ServiceNote {
        symbol: if line.status == PendingStatus::Due { "+" } else { "=" },
        verb: match line.status {
            PendingStatus::Due => "call",
            PendingStatus::Waiting => "pending",
            PendingStatus::Dropped => "drop",
        },
        service: line.service.to_string(),
        state: None,
        why: line.message.clone(),
    });
    pending.collect()
}

/// Returns networks that this plan creates or removes, or that stay though no service needs them.
pub(super) fn networks(plan: &Plan) -> Vec<ServiceNote> {
    let networks = plan.networks.iter().map(|line| {
        let (symbol, verb) = match line.change {
            NetworkChange::Create => ("+", "create"),
            NetworkChange::Remove => ("-", "remove"),
            NetworkChange::Keep => ("=", "keep"),
        };
        let service = format!("network {}", safe_text::line(&line.network));
        ServiceNote { symbol, verb, service, state: None, why: line.message.clone() }
    });
    networks.collect()
}

/// Returns blocked and held services, orphans and claims: an operator may want to act on them.
pub(super) fn not_done(plan: &Plan) -> Vec<ServiceNote> {
    let blocked = plan.blocked.iter().map(|blocked| ServiceNote {
        symbol: "!",
        verb: "blocked",
        service: blocked.service.to_string(),
        state: None,
        why: format!("{}: {}", blocked.reason.code.as_str(), shortened(plan, &blocked.reason.message)),
    });
    let held = plan.held.iter().map(|held| {
        let word = if held.by.is_some() { "since" } else { "held since" };
        let since = held.since.map(|since| format!("{word} {since:.0}"));
        let whom: Vec<String> = held.by.iter().cloned().chain(since).collect();
        let whom = if whom.is_empty() { String::new() } else { format!(" ({})", whom.join(", ")) };
        ServiceNote {
            symbol: "!",
            verb: "held",
            service: held.service.to_string(),
            state: None,
            why: format!("{}: {}{whom}", held.reason.code.as_str(), held.reason.message),
        }
    });
    let orphans = orphans_left(plan).map(|orphan| ServiceNote {
        symbol: "?",
        verb: "orphan",
        service: orphan.service.to_string(),
        state: Some(orphan.state),
        why: orphan.message.clone(),
    });
    let claimed = plan.claimed.iter().map(|claim| ServiceNote {
        symbol: "?",
        verb: "claimed",
        service: claim.service.to_string(),
        state: None,
        why: claim.sentence(),
    });
    blocked.chain(held).chain(orphans).chain(claimed).collect()
}

/// Returns `1 to stop, 2 to start, 3 kept, 0 blocked`: these four are always there, and always in this order, so that a
/// script can look for them; the others only where there are any. Each service is counted once.
pub(super) fn summary(plan: &Plan) -> String {
    let entries = entry::entries(plan);
    let mut parts: Vec<String> = Vec::new();
    for kind in entry::Kind::ALL {
        let count = entries.iter().filter(|entry| entry.kind == kind).count();
        if count > 0 || matches!(kind, entry::Kind::Stop | entry::Kind::Start) {
            parts.push(format!("{count} to {}", kind.verb()));
        }
    }
    parts.push(format!("{} kept", plan.kept.len()));
    parts.push(format!("{} blocked", plan.blocked.len()));
    if !plan.left.is_empty() {
        parts.push(format!("{} left running", plan.left.len()));
    }
    if !plan.held.is_empty() {
        parts.push(format!("{} held", plan.held.len()));
    }
    if !plan.pending.is_empty() {
        parts.push(counted(plan.pending.len(), "pending call", "pending calls"));
    }
    for (change, verb) in [(NetworkChange::Create, "create"), (NetworkChange::Remove, "remove")] {
        match plan.networks.iter().filter(|line| line.change == change).count() {
            0 => {}
            count => parts.push(format!("{} to {verb}", counted(count, "network", "networks"))),
        }
    }
    match orphans_left(plan).count() {
        0 => {}
        orphans => parts.push(counted(orphans, "orphan", "orphans")),
    }
    if !plan.claimed.is_empty() {
        parts.push(format!("{} claimed", plan.claimed.len()));
    }
    parts.join(", ")
}

/// Returns orphans that this plan leaves: stopped ones have steps.
fn orphans_left(plan: &Plan) -> impl Iterator<Item = &OrphanLine> {
    // A service may have the orphan's name, and steps of its own.
    let stops =
        |orphan: &OrphanLine| plan.steps.iter().any(|step| step.expect.instance.as_ref() == Some(&orphan.instance));
    plan.orphans.iter().filter(move |orphan| !stops(orphan))
}

/// Returns a message without the reason of another blocked service that this one depends on, which has its own line.
fn shortened<'a>(plan: &Plan, message: &'a str) -> &'a str {
    let mut causes = plan.blocked.iter().map(|blocked| blocked.reason.message.as_str());
    causes.find_map(|cause| message.strip_suffix(cause)?.strip_suffix(": ")).unwrap_or(message)
}
