//! Files that a manifest makes lcm execute on this host, by path: a user who can write them acts as the user who runs
//! lcm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::model::call::Call;
use crate::model::desired::{BusyProbe, Desired, Probe, Service};
use crate::model::hooks::Hooks;

impl Desired {
    /// Returns the programs and scripts that are named by a path: of services, stops, probes, evictions, wakes, hooks
    /// and notifiers. Programs inside a container are not the host's.
    #[must_use]
    pub fn programs(&self) -> BTreeSet<PathBuf> {
        let mut programs = BTreeSet::new();
        for service in self.services.values() {
            of_process(service, &mut programs);
            let Hooks { pre_start, post_start, pre_stop, post_stop } = &*service.hooks;
            for hook in pre_start.iter().chain(post_start).chain(pre_stop).chain(post_stop) {
                programs.extend(of_call(&hook.call).and_then(|words| program(words, &hook.cwd)));
            }
        }
        for notifier in &self.notify {
            programs.extend(of_call(&notifier.call).and_then(|words| program(words, &notifier.cwd)));
        }
        programs
    }
}

fn of_process(service: &Service, programs: &mut BTreeSet<PathBuf>) {
    let spec = &service.workload.spec;
    let (Some(folder), Some(command)) = (spec.host_folder(), spec.host_command()) else { return };
    let probe = service.health.probe.as_ref().and_then(|probe| match probe {
        Probe::Exec(words) => Some(words),
        Probe::Http(_) | Probe::Tcp { .. } | Probe::Log(_) | Probe::Runtime => None,
    });
    let busy = service.busy.as_ref().and_then(|busy| match &busy.probe {
        BusyProbe::Exec(words) => Some(words),
        BusyProbe::Http { .. } => None,
    });
    let evict = service.evict.iter().flat_map(|evict| &evict.calls);
    let calls = evict.chain(service.wake.iter().flat_map(|wake| &wake.calls)).filter_map(of_call);
    let all = [Some(&command), service.stop.exec.as_ref(), probe, busy].into_iter().flatten();
    programs.extend(all.map(Vec::as_slice).chain(calls).filter_map(|words| program(words, folder)));
}

fn of_call(call: &Call) -> Option<&[String]> {
    match call {
        Call::Exec(words) => Some(words),
        Call::Http { .. } => None,
    }
}

/// Returns the file that a command line executes first: its first word, or the first word of a shell's `-c` line.
fn program(words: &[String], cwd: &Path) -> Option<PathBuf> {
    let first = match words {
        [shell, flag, line, ..] if !shell.contains('/') && flag == "-c" => line.split_whitespace().next()?,
        // `sh ./start.sh`: a program of the system that reads a script.
        [interpreter, script, ..] if !interpreter.contains('/') && script.contains('/') && !script.starts_with('-') => {
            script
        }
        [first, ..] => first,
        [] => return None,
    };
    first.contains('/').then(|| cwd.join(first.trim_start_matches("./")))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::program;

    #[test]
    fn a_program_is_a_file_named_by_a_path() {
        for (words, wanted) in [
            (&["./a.sh", "x"][..], Some("/w/a.sh")),
            (&["sh", "-c", "./b.sh --fast"], Some("/w/b.sh")),
            (&["python3", "scripts/c.py"], Some("/w/scripts/c.py")),
            (&["/opt/d"], Some("/opt/d")),
            (&["sleep", "300"], None),
            (&["sh", "-c", "echo x"], None),
            (&[], None),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(program(&words, Path::new("/w")), wanted.map(PathBuf::from), "{words:?}");
        }
    }
}
