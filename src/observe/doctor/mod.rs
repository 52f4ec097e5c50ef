//! Checks of `lcm doctor` that concern no single runtime: each is a function from readings to lines.
//!
//! In: [`MachineReadings`]. Out: one [`MachineCheck`] for each thing that was checked, in the order in which people
//! repair them. Not here: the readings themselves, and what a runtime needs, which is in its own folder.

mod gpus;
mod lock;
mod state;
mod system;

use crate::model::doctor::readings::{MachineReadings, Overdue};
use crate::model::doctor::{CheckLevel, MachineCheck};
use crate::model::enclosure::EnclosureFact;

/// Returns the checks of the machine.
#[must_use]
pub fn judge(readings: &MachineReadings) -> Vec<MachineCheck> {
    let mut checks = gpus::judge(&readings.gpus);
    match &readings.lock {
        Ok(reading) => checks.push(lock::judge(reading)),
        Err(overdue) => checks.push(hangs("lock", "the lock", *overdue)),
    }
    match &readings.state {
        Ok(reading) => checks.extend(state::judge(reading)),
        Err(overdue) => checks.push(hangs("state_folder", "the state folder", *overdue)),
    }
    checks.push(enclosure(readings.enclosure.as_ref()));
    match &readings.system {
        Ok(reading) => checks.extend(system::judge(reading)),
        Err(overdue) => checks.push(hangs("clock", "the system's settings", *overdue)),
    }
    checks
}

/// Returns the check of a reading that did not end.
fn hangs(check: &str, what: &str, Overdue { deadline_s }: Overdue) -> MachineCheck {
    MachineCheck::fail(
        check,
        format!("{what} could not be read within {deadline_s} s: its file system does not answer"),
    )
    .help("look for a network mount that hangs: `findmnt -t nfs,nfs4,cifs,fuse.sshfs`")
}

/// Checks whether lcm sees the host.
fn enclosure(enclosure: Option<&EnclosureFact>) -> MachineCheck {
    const CHECK: &str = "container";
    let Some(EnclosureFact { lacks, own_store, .. }) = enclosure else {
        return MachineCheck::ok(CHECK, "lcm runs on the machine itself, not in a container that ends with its job");
    };
    if lacks.is_empty() {
        return MachineCheck::ok(
            CHECK,
            "lcm runs in a container that shows it the host's processes, lock and store; it manages containers from \
             here, and starts no processes",
        );
    }
    let limits = if own_store.is_some() {
        "it does not see all of the host's processes, lock and store, so holds, attempts and other runs may be unknown"
    } else {
        "it does not see all of the host's processes and lock"
    };
    MachineCheck::new(CHECK, CheckLevel::Warn, format!("lcm runs in a container, and {limits}"))
        .help(format!("docker run {} …", lacks.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::{enclosure, hangs};
    use crate::model::doctor::CheckLevel;
    use crate::model::doctor::readings::Overdue;
    use crate::model::enclosure::EnclosureFact;

    #[test]
    fn a_container_names_the_options_that_it_lacks() {
        assert_eq!(enclosure(None).level, CheckLevel::Ok);
        assert_eq!(enclosure(Some(&EnclosureFact::default())).level, CheckLevel::Ok);
        let lacks = ["--pid=host", "-v /run/lock:/run/lock"].map(str::to_owned).to_vec();
        let found = enclosure(Some(&EnclosureFact { lacks, ..EnclosureFact::default() }));
        assert_eq!(found.level, CheckLevel::Warn);
        assert_eq!(found.help, ["docker run --pid=host -v /run/lock:/run/lock …"]);
    }

    #[test]
    fn a_reading_that_hangs_is_a_failure_with_its_deadline() {
        let found = hangs("lock", "the lock", Overdue { deadline_s: 5 });
        assert_eq!(found.level, CheckLevel::Fail);
        assert!(found.found.contains("within 5 s") && found.help[0].contains("findmnt"), "{found:?}");
    }
}
