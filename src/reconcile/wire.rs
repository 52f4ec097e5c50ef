//! Entry points of the stages that a cycle puts together: manifest, machine, simulation, store.

use std::path::{Path, PathBuf};

use crate::host::program::environment;
use crate::host::state;
use crate::manifest::{self, CheckedManifest, ModeSelection};
use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::names::ProjectName;
use crate::runtime::Driver;
use crate::runtime::machine::Machine;
use crate::runtime::masked::Masked;
use crate::sim::Sim;
use crate::store::sqlite::Sqlite;
use crate::syntax::Environment;
use crate::syntax::problem::Problems;

/// This very program, even if its file was replaced meanwhile.
pub(crate) const SHIM: &str = "/proc/self/exe";

/// A simulation, and its snapshot after the changes.
pub(crate) trait Simulated: Driver {
    fn world(&self) -> Facts;
}

/// Returns the driver of the machine that lcm runs on.
pub(crate) fn machine(desired: &Desired, environment: &Environment) -> Box<dyn Driver> {
    Box::new(Masked::new(Machine::new(desired, environment, Path::new(SHIM)), desired.masker()))
}

/// Returns the folder in which lcm keeps what outlives a run.
pub(crate) fn state_folder(environment: &Environment) -> PathBuf {
    state::state_dir(environment)
}

/// Returns the store's file in a state folder.
pub(crate) fn store_file(state_folder: &Path) -> PathBuf {
    Sqlite::file_in(state_folder)
}

/// Returns a simulation in which no time passes: the same command on the same file gives the same result.
pub(crate) fn simulated(facts: Facts, desired: &Desired) -> Box<dyn Simulated> {
    Box::new(Masked::new(Sim::frozen(facts), desired.masker()))
}

impl Simulated for Masked<Sim> {
    fn world(&self) -> Facts {
        Masked::world(self)
    }
}

/// Returns the project's name in a manifest, if that can be read.
pub(crate) fn project_name(entry: &Path, environment: &Environment) -> Option<ProjectName> {
    manifest::project_name(entry, environment)
}

/// Returns the present user's home folder.
pub(crate) fn home(environment: &Environment) -> PathBuf {
    environment::home(environment)
}

/// Reads a manifest.
pub(crate) fn load(entry: &Path, environment: &Environment, choice: &ModeSelection) -> Result<Desired, Problems> {
    manifest::load(entry, environment, choice)
}

/// Returns the manifest that is read where none is named; `None`: there is none.
pub(crate) fn nearest_manifest() -> Option<PathBuf> {
    manifest::nearest_file()
}

/// Reads a manifest, and returns its warnings with their places.
pub(crate) fn check(entry: &Path, environment: &Environment, choice: &ModeSelection) -> CheckedManifest {
    manifest::check(entry, environment, choice)
}

/// Returns the files that a manifest is read from.
pub(crate) fn manifest_files(entry: &Path, environment: &Environment) -> Vec<PathBuf> {
    manifest::files(entry, environment)
}
