//! Request of a command that carries out a plan: its manifest, its options, and what it brings along.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::args::operator::OperatorArgs;
use crate::cli::args::{ExecutionArgs, PlanningArgs};
use crate::manifest::ModeSelection;
use crate::model::holds::HoldRecord;
use crate::model::names::ServiceName;
use crate::model::plan::Purpose;
use crate::reconcile::Project;
use crate::reconcile::owner::OwnerAccess;

/// Request to carry out a plan.
pub(super) struct ApplyJob {
    /// `lcm apply`, for messages and the history.
    pub(super) command: &'static str,
    pub(super) purpose: Purpose,
    pub(super) manifest: PathBuf,
    pub(super) choice: ModeSelection,
    pub(super) world: Option<PathBuf>,
    pub(super) planning: PlanningArgs,
    pub(super) execution: ExecutionArgs,
    /// The file of a saved plan, which brings its mode and options along.
    pub(super) saved: Option<PathBuf>,
    /// On whose word the chosen mode is to be that of all runs from now on.
    pub(super) switch: Option<OperatorArgs>,
    /// Right over a project that has an owner.
    pub(super) claim: OwnerAccess,
    /// The world, where the command has opened it already.
    pub(super) opened: Option<Project>,
    /// Holds that a dry run takes for kept.
    pub(super) holds: BTreeMap<ServiceName, HoldRecord>,
}

impl ApplyJob {
    /// As the owner, with nothing of its own: what a command brings along is set in its place.
    pub(super) fn new(
        command: &'static str,
        purpose: Purpose,
        manifest: PathBuf,
        choice: ModeSelection,
        execution: ExecutionArgs,
    ) -> ApplyJob {
        ApplyJob {
            command,
            purpose,
            manifest,
            choice,
            world: None,
            planning: PlanningArgs::default(),
            execution,
            saved: None,
            switch: None,
            claim: OwnerAccess::AsOwner,
            opened: None,
            holds: BTreeMap::new(),
        }
    }
}
