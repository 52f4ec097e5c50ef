//! Ownership of containers. Marks are labels that anyone may copy, so they prove nothing alone: a container is this
//! project's if its marks carry its present name and did not come with its image.
//!
//! Pure, and the only place that decides ownership: observation, both drivers and their effects call it.

use std::collections::BTreeSet;

use crate::model::desired::Desired;
use crate::model::facts::{Facts, Marks};
use crate::model::names::{ObjectName, ProjectName, ServiceName};
use crate::model::observed::ASIDE_SUFFIX;
use crate::runtime::docker::facts::{ContainerFact, known_containers};

/// Identity of a project, by which it recognises its containers.
#[derive(Clone, Copy, Debug)]
pub struct ProjectIdentity<'a> {
    pub project: &'a ProjectName,
    /// Former names of the project.
    pub aliases: &'a BTreeSet<ProjectName>,
    /// Id of this machine; set where the engine may hold other machines' containers too.
    pub host_id: Option<&'a str>,
    /// True if other machines' containers of this project become this machine's.
    pub take_over: bool,
}

/// Proof, or the lack of it, that a container is this project's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnershipProof {
    /// No marks at all.
    Unmarked,
    /// Marks that came with the image.
    Inherited,
    /// Marks of another project.
    OtherProject,
    /// This project's.
    Ours,
    /// This project's on another machine that shares the engine.
    OtherHost,
    /// Complete marks, but under another name than lcm gave the container.
    Renamed,
    /// Marks of another container, or marks that lcm never writes so.
    Copied,
}

/// Properties of a container that ownership depends on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Present name.
    pub name: &'a str,
    pub marks: Option<&'a Marks>,
    /// True if the image carries the same marks.
    pub inherited: bool,
}

impl ContainerFact {
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence { name: &self.name, marks: self.marks.as_ref(), inherited: self.marks_inherited }
    }
}

impl<'a> ProjectIdentity<'a> {
    #[must_use]
    pub fn of(desired: &'a Desired, facts: &'a Facts) -> Self {
        let Desired { project, aliases, take_over, .. } = desired;
        Self { project, aliases, host_id: facts.host_id.as_deref(), take_over: *take_over }
    }

    /// Returns true if marks with this project name are this project's.
    #[must_use]
    pub fn is_own(&self, project: &str) -> bool {
        self.is_former(project) || self.project.as_str() == project
    }

    fn is_former(&self, project: &str) -> bool {
        !self.aliases.is_empty() && self.aliases.iter().any(|alias| alias.as_str() == project)
    }

    /// Returns true if marks are of this project's service.
    #[must_use]
    pub fn are_of(&self, marks: &Marks, service: &ServiceName) -> bool {
        self.is_own(&marks.project) && marks.service == service.as_str()
    }

    /// Returns the names that a service's container may have: the manifest's, and where that is the default one, those
    /// that the former project names give.
    #[must_use]
    pub fn names(&self, service: &ServiceName, own: &str) -> Vec<String> {
        let is_default = own == default_name(self.project.as_str(), service.as_str());
        let former =
            self.aliases.iter().filter(|_| is_default).map(|alias| default_name(alias.as_str(), service.as_str()));
        std::iter::once(own.to_owned()).chain(former).collect()
    }

    /// Judges one container by itself. `expected`: the name that the manifest gives its service's container, if any.
    #[must_use]
    pub fn standing(&self, container: Evidence<'_>, expected: Option<&str>) -> OwnershipProof {
        let Some(marks) = container.marks else { return OwnershipProof::Unmarked };
        if container.inherited {
            return OwnershipProof::Inherited;
        }
        if !self.is_own(&marks.project) {
            return OwnershipProof::OtherProject;
        }
        if !self.is_named(container.name, marks, expected) {
            return if is_complete(marks) { OwnershipProof::Renamed } else { OwnershipProof::Copied };
        }
        if self.is_foreign_host(marks) { OwnershipProof::OtherHost } else { OwnershipProof::Ours }
    }

    /// Judges a network. Networks can't be renamed, and no image brings their labels.
    #[must_use]
    pub fn network_standing(&self, name: &str, marks: Option<&Marks>) -> OwnershipProof {
        let Some(marks) = marks else { return OwnershipProof::Unmarked };
        if !self.is_own(&marks.project) {
            return OwnershipProof::OtherProject;
        }
        if marks.name != name {
            return OwnershipProof::Copied;
        }
        if self.is_foreign_host(marks) { OwnershipProof::OtherHost } else { OwnershipProof::Ours }
    }

    fn is_named(&self, name: &str, marks: &Marks, expected: Option<&str>) -> bool {
        let name = base_name(name);
        if !marks.name.is_empty() && marks.name == name {
            return true;
        }
        // A container of a former project may get the present one's name while it is replaced.
        let former = self.is_former(&marks.project);
        if !marks.name.is_empty() && !former {
            return false;
        }
        // An older lcm wrote no name: then only the manifest's name and the default name count.
        expected == Some(name)
            || (marks.name.is_empty() && name == default_name(&marks.project, &marks.service))
            || (former && name == default_name(self.project.as_str(), &marks.service))
    }

    /// Returns true if an lcm on another machine created the container and it is not taken over.
    #[must_use]
    pub fn is_foreign_host(&self, marks: &Marks) -> bool {
        !self.take_over && self.is_taken_over(marks)
    }

    /// Returns true if an lcm on another machine created the container.
    #[must_use]
    pub fn is_taken_over(&self, marks: &Marks) -> bool {
        let Some(own) = self.host_id else { return false };
        !marks.host_id.is_empty() && machine(&marks.host_id) != machine(own)
    }
}

/// Judges one container among all: of several with one salt only the one under the right name is ours, since no two
/// containers get the same salt.
#[must_use]
pub fn standing(found: &ContainerFact, facts: &Facts, desired: &Desired) -> OwnershipProof {
    let identity = ProjectIdentity::of(desired, facts);
    let alone = |found: &ContainerFact| identity.standing(found.evidence(), expected(found, desired));
    let standing = alone(found);
    let Some(marks) = &found.marks else { return standing };
    let doubtful = match standing {
        OwnershipProof::Ours => base_name(&found.name) != found.name,
        OwnershipProof::Renamed => true,
        OwnershipProof::Unmarked
        | OwnershipProof::Inherited
        | OwnershipProof::OtherProject
        | OwnershipProof::OtherHost
        | OwnershipProof::Copied => false,
    };
    if !doubtful || marks.salt.is_empty() {
        return standing;
    }
    let others = known_containers(facts).filter(|other| other.id != found.id);
    let mut same = others.filter(|other| other.marks.as_ref().is_some_and(|other| other.salt == marks.salt));
    let is_original = |other: &ContainerFact| {
        alone(other) == OwnershipProof::Ours
            && (standing == OwnershipProof::Renamed || base_name(&other.name) == other.name)
    };
    if same.any(is_original) { OwnershipProof::Copied } else { standing }
}

/// Returns the name that the manifest gives the container of the service that this one's marks name.
fn expected<'a>(found: &ContainerFact, desired: &'a Desired) -> Option<&'a str> {
    let service = desired.services.get(&ServiceName::from(found.marks.as_ref()?.service.as_str()))?;
    service.object().map(ObjectName::as_str)
}

/// Returns containers of this manifest's services that an lcm on another machine created at the same engine: while
/// there are any, changing commands are refused, until they are taken over. Those of services outside the manifest are
/// claims.
#[must_use]
pub fn on_other_hosts<'a>(facts: &'a Facts, desired: &Desired) -> Vec<&'a ContainerFact> {
    let all = known_containers(facts);
    let is_wanted = |found: &&ContainerFact| {
        let marks = found.marks.as_ref();
        marks.is_some_and(|marks| desired.services.contains_key(&ServiceName::from(marks.service.as_str())))
    };
    all.filter(is_wanted).filter(|found| standing(found, facts, desired) == OwnershipProof::OtherHost).collect()
}

/// Returns the users whose lcm created this project's containers; empty if there are none, or an older lcm created
/// them.
#[must_use]
pub fn owner_uids(facts: &Facts, desired: &Desired) -> BTreeSet<u32> {
    let all = known_containers(facts);
    let ours = all.filter(|found| standing(found, facts, desired) == OwnershipProof::Ours);
    ours.filter_map(|found| found.marks.as_ref()?.uid).collect()
}

/// Returns the name without the suffix of a container put aside.
#[must_use]
pub fn base_name(name: &str) -> &str {
    name.strip_suffix(ASIDE_SUFFIX).unwrap_or(name)
}

/// Returns the container name of a service for which the manifest gives none.
#[must_use]
pub fn default_name(project: &str, service: &str) -> String {
    format!("{project}-{service}")
}

/// Returns the hostname in a host id, for messages.
#[must_use]
pub fn hostname(host_id: &str) -> &str {
    host_id.rsplit_once('/').map_or(host_id, |(name, _)| name)
}

/// Returns the part of a host id that identifies the machine; its hostname may change.
fn machine(host_id: &str) -> &str {
    host_id.rsplit_once('/').map_or(host_id, |(_, digest)| digest)
}

/// Returns true if the marks are there that lcm writes on each container.
fn is_complete(marks: &Marks) -> bool {
    [&marks.service, &marks.spec, &marks.salt, &marks.config].iter().all(|text| !text.is_empty())
}
