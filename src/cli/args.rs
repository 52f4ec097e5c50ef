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
use crate::model::names::{GoalName, ModeName, ServiceName};

/// Which manifest, and what of it.
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

/// The manifest's file, in either of the two places where it may stand.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// Manifest to read; `-` is standard input [default: lcm.yaml]
    #[arg(value_name = "MANIFEST")]
    positional: Option<PathBuf>,
    /// Manifest to read, written as with every other command
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

/// The mode, goals and world of one run.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ChooseArgs {
    /// Use this mode, for this run
    #[arg(long, value_name = "MODE")]
    pub(super) mode: Option<ModeName>,
    /// Want this goal too, for this run; may be given several times
    #[arg(long = "goal", value_name = "GOAL")]
    pub(super) goals: Vec<GoalName>,
    /// Take this file, made by `lcm observe`, for the machine: plan on it, and change it instead
    #[arg(long, value_name = "FILE")]
    pub(super) world: Option<PathBuf>,
}

impl ChooseArgs {
    /// For a run that brings services up.
    pub(super) fn choice(&self) -> ModeSelection {
        let goals = self.goals.iter().cloned().collect();
        ModeSelection { mode: self.mode.clone(), goals, ..ModeSelection::default() }
    }

    /// For whoever only looks, or stops everything.
    pub(super) fn choice_if_any(&self) -> ModeSelection {
        ModeSelection { mode_optional: true, ..self.choice() }
    }
}

/// Which services a run is about.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NarrowArgs {
    /// Only this service and what it depends on; may be given several times
    #[arg(long = "target", value_name = "SERVICE")]
    pub(super) targets: Vec<ServiceName>,
    /// Leave this service as it is; may be given several times
    #[arg(long = "exclude", value_name = "SERVICE")]
    pub(super) excludes: Vec<ServiceName>,
}

/// What a plan may do.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PlanningArgs {
    #[command(flatten)]
    pub(super) narrow: NarrowArgs,
    /// Do nothing while anything wanted is blocked
    #[arg(long)]
    pub(super) strict: bool,
    /// Let services be moved to make room for their equals
    #[arg(long)]
    pub(super) repack: bool,
    /// Stop what bears this project's mark but is not in the manifest
    #[arg(long)]
    pub(super) prune: bool,
    /// Exit 2 where there are changes
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
}

/// How a plan is carried out.
#[derive(Clone, Debug, Args)]
pub(super) struct ExecutionArgs {
    /// Don't ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Show the plan, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Steps under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallelism: u16,
    /// After a failed step: begin no other one, go on with what does not need it, or go back to what ran before
    #[arg(long, value_enum, default_value_t = FailurePolicy::Continue, value_name = "WHAT")]
    on_failure: FailurePolicy,
    /// Longest time for the whole run
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration::parse)]
    timeout: Duration,
    /// Longest wait for memory to come back after a stop
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration::parse)]
    release_timeout: Duration,
    /// Longest wait for another lcm to finish
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration::parse)]
    pub(super) lock_timeout: Duration,
    /// Don't wait for busy services, and stop what the mode does not name even while what it wants can't start
    #[arg(long)]
    pub(super) force: bool,
    /// How to show the run
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(super) format: OutputFormat,
    /// Write the run's events into this file too, as JSON, one a line
    #[arg(long, value_name = "FILE")]
    pub(super) json_into: Option<PathBuf>,
}

impl ExecutionArgs {
    /// The command itself is the answer.
    pub(super) fn unasked(self) -> Self {
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

/// How a plan may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For people at a terminal
    Text,
    /// For programs; `lcm schema plan` describes it
    Json,
    /// For a comment on a pull request
    Markdown,
    /// The steps as a graph, which GitHub draws
    Mermaid,
    /// One page for a browser, which needs nothing else
    Html,
}
