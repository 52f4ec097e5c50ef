//! Handle to the process trees of this host, with what one user may see and change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use rustix::process::geteuid;

use crate::host::state;
use crate::model::desired::Service;
use crate::runtime::DriverError;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::verified::{ProjectNames, Trust};
use crate::runtime::process::intent::ProcessSpec;
use crate::runtime::registration::DriverContext;

/// Process trees of this host that this user may see and change.
#[derive(Clone)]
pub struct Processes {
    /// State folder; see [`state::state_dir`].
    pub state_dir: PathBuf,
    /// lcm's own environment, from which `inherit` takes variables.
    pub environment: BTreeMap<String, String>,
    /// Program that runs as shim or guardian; `/proc/self/exe` in lcm itself.
    pub shim_program: PathBuf,
    /// Users whose shims are this project's: its owner, and the previous one while a run takes the project over.
    pub owners: BTreeSet<u32>,
    /// The project, and its former names.
    pub(crate) names: ProjectNames,
}

impl fmt::Debug for Processes {
    /// Without the environment, which holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Processes").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

/// Returns the process definition of a service; an error if the service is not a process.
pub(crate) fn process_of(service: &Service) -> Result<&ProcessSpec, DriverError> {
    match service.workload.spec::<ProcessSpec>() {
        Some(process) => Ok(process),
        None => Err(DriverError::Refused(format!("`{}` is a container, not a process", service.name))),
    }
}

impl Processes {
    /// Creates the handle for one manifest. Nothing is read yet.
    #[must_use]
    pub fn of(DriverContext { desired, environment, shim_program, .. }: &DriverContext<'_>) -> Self {
        let mut processes = Self::new((*environment).clone(), shim_program.to_path_buf());
        processes.owners.extend(desired.previous_owner);
        processes.names = ProjectNames {
            present: desired.project.to_string(),
            former: desired.aliases.iter().map(ToString::to_string).collect(),
        };
        processes
    }

    #[must_use]
    pub fn new(environment: BTreeMap<String, String>, shim_program: PathBuf) -> Self {
        let owners = BTreeSet::from([geteuid().as_raw()]);
        Self {
            state_dir: state::state_dir(&environment),
            environment,
            shim_program,
            owners,
            names: ProjectNames::default(),
        }
    }

    /// Returns the conditions under which a process counts as part of a service.
    pub(crate) fn trust(&self) -> Trust {
        Trust { owners: self.owners.clone(), state_dir: self.state_dir.clone(), names: self.names.clone() }
    }

    pub(crate) fn folder(&self, project: &str, service: &str) -> Folder {
        Folder::new(&self.state_dir, project, service)
    }

    /// Returns the folder with the notes and the log of the last start: that of a former project name, until the
    /// service is started under the present one.
    pub(crate) fn readable_folder(&self, project: &str, service: &str) -> Folder {
        let present = self.folder(project, service);
        if project != self.names.present || self.names.former.is_empty() || present.start_note().is_some() {
            return present;
        }
        let former = self.names.former.iter().map(|former| self.folder(former, service));
        former.into_iter().find(|former| former.start_note().is_some()).unwrap_or(present)
    }
}
