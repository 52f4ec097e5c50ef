//! Arguments that several commands share.

pub(super) mod duration;
pub(super) mod manifest;
pub(super) mod moment;
pub(super) mod names;
pub(super) mod operator;
pub(super) mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::apply::{OnFailure, Options};
use crate::manifest::ModeSelection;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, ServiceName};

/// Help of `--world` for commands that change nothing.
pub(super) const READ_WORLD: &str = "Use this snapshot, made by `lcm observe`, instead of the machine";

/// Help of `--force` for commands that ignore the mode.
pub(super) const FORCE_STOP: &str = "Don't wait for busy services to become idle";
/// Long enough to pull an image and load a large model. The schema of `drain` names it.
const RUN_TIMEOUT_DEFAULT: &str = "30m";
/// Long enough for the driver to free the memory of a large process.
const RELEASE_TIMEOUT_DEFAULT: &str = "120s";
/// No wait: another lcm is reported at once.
const LOCK_TIMEOUT_DEFAULT: &str = "0s";

/// Manifest, and the parts of it to use.
#[derive(Clone, Debug, Args)]
pub(super) struct ManifestArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    pub(super) choose: ChooseArgs,
}

impl ManifestArgs {
    pub(super) fn path(&self) -> PathBuf {
        self.file.path()
    }
}

/// File of the manifest, as a positional argument or as an option.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// Manifest to read; `-` is standard input [default: lcm.yaml]
    #[arg(value_name = "MANIFEST")]
    positional: Option<PathBuf>,
    /// Same as the argument MANIFEST
    #[arg(short = 'm', long = "manifest", value_name = "MANIFEST", conflicts_with = "positional")]
    named: Option<PathBuf>,
}

impl FileArgs {
    pub(super) fn path(&self) -> PathBuf {
        self.given().unwrap_or_else(|| PathBuf::from("lcm.yaml"))
    }

    pub(super) fn given(&self) -> Option<PathBuf> {
        self.positional.clone().or_else(|| self.named.clone())
    }
}

/// Mode, goals and snapshot of one run.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ChooseArgs {
    /// Use this mode instead of the active one, for this command only; given several times, the modes are active
    /// together
    #[arg(long, value_name = "MODE")]
    pub(super) mode: Vec<ModeSet>,
    /// Also activate this goal, for this command only; may be given several times
    #[arg(long = "goal", value_name = "GOAL")]
    pub(super) goals: Vec<GoalName>,
    /// Use this snapshot, made by `lcm observe`, instead of the machine; changes are simulated and written to it
    #[arg(long, value_name = "FILE")]
    pub(super) world: Option<PathBuf>,
}

impl ChooseArgs {
    /// Returns the selection for a run that starts services.
    pub(super) fn choice(&self) -> ModeSelection {
        let goals = self.goals.iter().cloned().collect();
        ModeSelection { mode: ModeSet::union(self.mode.iter().cloned()), goals, ..ModeSelection::default() }
    }

    /// Returns the selection for a run that only reads, or stops everything: it needs no mode.
    pub(super) fn choice_if_any(&self) -> ModeSelection {
        ModeSelection { mode_optional: true, ..self.choice() }
    }
}

/// Services that a run is limited to.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NarrowArgs {
    /// Limit the plan to this service and its dependencies; may be given several times
    #[arg(long = "target", value_name = "SERVICE")]
    pub(super) targets: Vec<ServiceName>,
    /// Leave this service as it is; may be given several times
    #[arg(long = "exclude", value_name = "SERVICE")]
    pub(super) excludes: Vec<ServiceName>,
}

/// Options of planning.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PlanningArgs {
    #[command(flatten)]
    pub(super) narrow: NarrowArgs,
    /// Change nothing if any wanted service is blocked
    #[arg(long)]
    pub(super) strict: bool,
    /// Allow moving services to free memory for others of equal priority
    #[arg(long)]
    pub(super) repack: bool,
    /// Stop and remove orphans: services with this project's mark that are not in the manifest
    #[arg(long)]
    pub(super) prune: bool,
    /// Exit 2 if there are changes
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
}

/// Options of carrying out a plan.
#[derive(Clone, Debug, Args)]
pub(super) struct ExecutionArgs {
    /// Don't ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Show the plan, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Maximum number of steps running at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallelism: u16,
    /// After a failed step: begin no further step, continue with steps that don't need it, or restore the state before
    /// the run
    #[arg(long, value_enum, default_value_t = FailurePolicy::Continue, value_name = "WHAT")]
    on_failure: FailurePolicy,
    /// Maximum time for the whole run
    #[arg(long, value_name = "TIME", default_value = RUN_TIMEOUT_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Maximum wait for memory to be freed after a stop
    #[arg(long, value_name = "TIME", default_value = RELEASE_TIMEOUT_DEFAULT, value_parser = duration::parse)]
    release_timeout: Duration,
    /// Maximum wait for another lcm to finish
    #[arg(long, value_name = "TIME", default_value = LOCK_TIMEOUT_DEFAULT, value_parser = duration::parse)]
    pub(super) lock_timeout: Duration,
    /// Don't wait for busy services to become idle, and stop services outside the mode even if a wanted service is
    /// blocked
    #[arg(long)]
    pub(super) force: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(super) format: OutputFormat,
    /// Also write the run's events to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(super) json_into: Option<PathBuf>,
}

impl ExecutionArgs {
    /// Returns the options without confirmation: the command itself confirms.
    pub(super) fn confirmed(self) -> Self {
        Self { yes: true, ..self }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            parallelism: usize::from(self.parallelism),
            on_failure: match self.on_failure {
                FailurePolicy::Stop => OnFailure::Stop,
                FailurePolicy::Continue => OnFailure::Continue,
                FailurePolicy::Rollback => OnFailure::Rollback,
            },
            timeout: self.timeout,
            force: self.force,
            release_timeout: self.release_timeout,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailurePolicy {
    Stop,
    Continue,
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

/// Output format of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For people at a terminal
    Text,
    /// For programs; `lcm schema plan` describes it
    Json,
    /// For a comment on a pull request
    Markdown,
    /// A Mermaid graph of the steps, as GitHub renders it
    Mermaid,
    /// One self-contained page for a browser
    Html,
}
