//! Request of a command that carries out a plan: its manifest, its options, and its further inputs.

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
    /// File of a saved plan, which carries its mode and options.
    pub(super) saved: Option<PathBuf>,
    /// Operator of a switch: the chosen mode becomes that of all further runs.
    pub(super) switch: Option<OperatorArgs>,
    /// Access to a project that has an owner.
    pub(super) claim: OwnerAccess,
    /// Project, if the command has opened it already.
    pub(super) opened: Option<Project>,
    /// Holds that a dry run treats as stored.
    pub(super) holds: BTreeMap<ServiceName, HoldRecord>,
}

impl ApplyJob {
    /// Returns a job with default options, as the project's owner; a command sets further fields itself.
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
