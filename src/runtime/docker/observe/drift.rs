//! Drift of a container: its real settings, compared with those that the manifest gives it now.

use crate::model::desired::{Desired, Service};
use crate::model::facts::Facts;
use crate::model::observed::Changed;
use crate::runtime::docker::facts::ContainerFact;
use crate::runtime::docker::settings::{ContainerSettings, Difference};

/// Settings that a reason names, since it is one line; more are counted.
const NAMED_MAX: usize = 4;

/// Comparison of one container.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) changed: Option<Box<Changed>>,
    pub(super) warning: Option<String>,
}

/// Compares a container that lcm created.
pub(super) fn of_container(facts: &Facts, desired: &Desired, service: &Service, found: &ContainerFact) -> Compared {
    let (Some(marks), Some(settings)) = (&found.marks, &found.settings) else { return Compared::default() };
    let Some(expected) = ContainerSettings::expected(service, marks, facts) else { return Compared::default() };
    let all = settings.differences(&expected);
    if all.is_empty() || !service.spec.has_hash(&marks.spec) {
        return Compared::default();
    }
    let differences = settings.drift(&expected, marks.compared);
    if differences.is_empty() {
        let names = named(&all);
        let warning = format!(
            "{}: its container differs from the manifest in {names}: an earlier lcm created it, or the engine sets \
             that itself; it stays as it is until its spec changes",
            service.name
        );
        return Compared { changed: None, warning: Some(warning) };
    }
    let names = named(&differences);
    let lines: Vec<String> = differences.iter().flat_map(Difference::lines).collect();
    let changed = Changed {
        message: format!("its container differs from the manifest in {names}"),
        diff: desired.masker().mask(&lines.join("\n")),
        can_update_in_place: differences.iter().all(Difference::can_update_in_place),
    };
    Compared { changed: Some(Box::new(changed)), warning: None }
}

/// Names settings: `mount /conf, restart policy and 2 more settings`.
fn named(differences: &[Difference]) -> String {
    let names: Vec<String> = differences.iter().take(NAMED_MAX).map(|one| one.setting.to_string()).collect();
    match differences.len().saturating_sub(NAMED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more settings", names.join(", ")),
    }
}
