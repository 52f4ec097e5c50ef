//! Status as metrics, in Prometheus' text format 0.0.4, which the textfile collector of the node exporter reads.
//!
//! Names follow <https://prometheus.io/docs/practices/naming>: base units at their end, and no label whose values could
//! not be summed up, so capacity and use are separate metrics. A state has one series for each possible state, of which
//! one is 1, as in kube-state-metrics: with a series per current state, the time between two states would be undefined.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use crate::model::job::JobState;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::safe_text::is_unseen;
use crate::model::size::Mebibytes;
use crate::report::output::Output;
use crate::report::status::{GoalLine, GpuStatus, LastRun, MemoryStatus, ServiceLine, Status};

/// Values that a status does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Services wanted by the mode, by goals and by their dependents.
    pub wanted: &'a BTreeSet<ServiceName>,
    pub version: &'a str,
}

/// One metric: its name, its help text, and its series.
struct Metric {
    name: &'static str,
    help: &'static str,
    series: Vec<Series>,
}

struct Series {
    labels: Vec<(&'static str, String)>,
    value: String,
}

/// Amount of one GPU, in MiB, which the metric gives in bytes.
type Amount = fn(&GpuStatus) -> Option<Mebibytes>;

/// Returns the whole exposition: the same status gives the same bytes.
#[must_use]
pub fn metrics(status: &Status, beside: Beside<'_>) -> Output {
    let mut metrics = of_project(status, beside.version);
    metrics.extend(of_services(status, beside.wanted));
    metrics.extend(of_gpus(status));
    metrics.extend(status.memory.as_ref().into_iter().flat_map(of_host_memory));
    metrics.extend(of_goals(status));
    metrics.extend(status.last_run.as_ref().into_iter().flat_map(of_last_run));
    let project = status.project.to_string();
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| !metric.series.is_empty()) {
        write(&mut text, metric, &project);
    }
    Output::new(text)
}

fn of_project(status: &Status, version: &str) -> Vec<Metric> {
    let mode = status.mode.as_ref().map(ToString::to_string).unwrap_or_default();
    let info = vec![("mode", mode), ("host", status.host.clone()), ("version", version.to_owned())];
    vec![
        Metric::one("lcm_info", "Active mode, host, and version of lcm.", info, 1),
        Metric::one("lcm_observed_timestamp_seconds", "Time of the observation.", vec![], seconds(status.observed_at)),
        Metric::one(
            "lcm_orphans",
            "Objects with this project's mark that the manifest does not name.",
            vec![],
            status.orphans.len(),
        ),
        Metric::one("lcm_warnings", "Warnings in `lcm status`.", vec![], status.warnings.len()),
    ]
}

fn of_services(status: &Status, wanted: &BTreeSet<ServiceName>) -> Vec<Metric> {
    let each = |name, help, value: &dyn Fn(&ServiceLine) -> Option<String>| {
        let series = status.services.iter().filter_map(|line| {
            let labels = vec![("service", line.name.to_string())];
            value(line).map(|value| Series { labels, value })
        });
        Metric { name, help, series: series.collect() }
    };
    let flag = |is: bool| Some(u8::from(is).to_string());
    let mut metrics = vec![
        states(status),
        each("lcm_service_up", "1: operational (online, busy or idle); missing if not known.", &|line| {
            flag(line.operational).filter(|_| line.known)
        }),
        each("lcm_service_known", "0: the state could not be read.", &|line| flag(line.known)),
        each("lcm_service_wanted", "1: the mode or a goal needs the service.", &|line| {
            flag(wanted.contains(&line.name))
        }),
        each("lcm_service_held", "1: held by an operator or by a spent restart budget.", &|line| {
            flag(line.hold.is_some() || line.budget.as_ref().is_some_and(|budget| budget.held))
        }),
        each("lcm_service_priority", "Priority: higher preempts lower.", &|line| Some(line.priority.to_string())),
        each("lcm_service_since_timestamp_seconds", "Time of the last change of state.", &|line| {
            line.since.filter(|_| line.known).map(seconds)
        }),
        each("lcm_service_gpus", "Number of GPUs in use by the service.", &|line| Some(line.gpus.len().to_string())),
        each(
            "lcm_service_gpu_memory_declared_bytes",
            "GPU memory in the manifest, on each GPU of the service.",
            &|line| Some(bytes(line.vram_declared_mib)),
        ),
        each(
            "lcm_service_gpu_memory_measured_bytes",
            "GPU memory measured by the driver, on the GPU where it holds most; missing if not measured.",
            &|line| line.vram_measured_mib.map(bytes),
        ),
        each(
            "lcm_service_host_memory_declared_bytes",
            "Host memory in the manifest; missing without `ram`.",
            &|line| line.ram_declared_mib.map(bytes),
        ),
        each(
            "lcm_service_host_memory_measured_bytes",
            "Host memory of its processes; missing without `ram` or if not measured.",
            &|line| line.ram_measured_mib.map(bytes),
        ),
    ];
    metrics.extend(copies(status));
    metrics.extend(jobs(status));
    metrics
}

/// Returns the states of all jobs; `None` without any.
fn jobs(status: &Status) -> Option<Metric> {
    const STATES: [JobState; 4] = [JobState::Done, JobState::Failed, JobState::Due, JobState::Running];
    let jobs = status.services.iter().filter_map(|line| Some((line, line.job.as_ref()?)));
    let series = jobs.flat_map(|(line, job)| {
        STATES.map(|state| Series {
            labels: vec![("service", line.name.to_string()), ("state", state.as_str().to_owned())],
            value: u8::from(job.state == state).to_string(),
        })
    });
    let series: Vec<Series> = series.collect();
    let help = "1 for the current state of the job, 0 for all others; missing if not known.";
    (!series.is_empty()).then_some(Metric { name: "lcm_job_state", help, series })
}

/// Returns the counts of all services but those with the usual one copy; `None` without any.
fn copies(status: &Status) -> Option<Metric> {
    let counted = status.services.iter().filter_map(|line| Some((line, line.copies.filter(|_| line.known)?)));
    let series = counted.flat_map(|(line, copies)| {
        let counts = [("wanted", copies.wanted), ("ready", copies.ready), ("updated", copies.updated)];
        counts.map(|(count, value)| Series {
            labels: vec![("service", line.name.to_string()), ("count", count.to_owned())],
            value: value.to_string(),
        })
    });
    let series: Vec<Series> = series.collect();
    let help = "Copies that are wanted, ready, and up to date.";
    (!series.is_empty()).then_some(Metric { name: "lcm_service_copies", help, series })
}

fn states(status: &Status) -> Metric {
    // A service that could not be read has no state: a guess would be taken for one.
    let series = status.services.iter().filter(|line| line.known).flat_map(|line| {
        State::ALL.into_iter().map(|state| Series {
            labels: vec![("service", line.name.to_string()), ("state", state.to_string())],
            value: u8::from(line.state == state).to_string(),
        })
    });
    let help = "1 for the current state, 0 for all others; missing if not known.";
    Metric { name: "lcm_service_state", help, series: series.collect() }
}

fn of_gpus(status: &Status) -> Vec<Metric> {
    let amounts: [(&'static str, &'static str, Amount); 7] = [
        ("lcm_gpu_memory_capacity_bytes", "Capacity of the GPU.", |gpu| Some(gpu.capacity_mib)),
        ("lcm_gpu_memory_reserve_bytes", "Kept free by the manifest.", |gpu| Some(gpu.reserve_mib)),
        ("lcm_gpu_memory_foreign_bytes", "Held by processes outside this manifest.", |gpu| Some(gpu.foreign_mib)),
        ("lcm_gpu_memory_declared_bytes", "Declared by the services that run on it.", |gpu| Some(gpu.declared_mib)),
        ("lcm_gpu_memory_measured_bytes", "In use, as measured by the driver; missing if not measured.", |gpu| {
            gpu.measured_mib
        }),
        ("lcm_gpu_memory_used_bytes", "Counted as used, including foreign memory.", |gpu| Some(gpu.used_mib)),
        ("lcm_gpu_memory_free_bytes", "Available to one more service.", |gpu| Some(gpu.free_mib)),
    ];
    let labels = |gpu: &GpuStatus| vec![("gpu", gpu.id.as_str().to_owned()), ("index", gpu.index.to_string())];
    let of_each = |value: &dyn Fn(&GpuStatus) -> Option<String>| {
        let series = status.gpus.iter().filter_map(|gpu| value(gpu).map(|value| Series { labels: labels(gpu), value }));
        series.collect::<Vec<_>>()
    };
    let info = status.gpus.iter().map(|gpu| {
        let labels = [labels(gpu), vec![("name", gpu.name.clone())]].concat();
        Series { labels, value: "1".to_owned() }
    });
    let mut metrics = vec![
        Metric { name: "lcm_gpu_info", help: "Name of the GPU.", series: info.collect() },
        Metric {
            name: "lcm_gpu_lost",
            help: "1: the GPU is known but can't be used.",
            series: of_each(&|gpu| Some(u8::from(gpu.lost.is_some() || gpu.unreadable.is_some()).to_string())),
        },
    ];
    metrics.extend(amounts.into_iter().map(|(name, help, amount)| {
        let series = of_each(&|gpu| amount(gpu).map(bytes));
        Metric { name, help, series }
    }));
    metrics
}

fn of_host_memory(memory: &MemoryStatus) -> Vec<Metric> {
    let amounts = [
        ("lcm_host_memory_capacity_bytes", "Memory of the host.", Some(memory.capacity_mib)),
        ("lcm_host_memory_reserve_bytes", "Kept free by the manifest.", Some(memory.reserve_mib)),
        (
            "lcm_host_memory_foreign_bytes",
            "Held outside this manifest, and by services without `ram`.",
            Some(memory.foreign_mib),
        ),
        ("lcm_host_memory_declared_bytes", "Declared by the services that run.", Some(memory.declared_mib)),
        (
            "lcm_host_memory_measured_bytes",
            "Not available to programs, by the kernel; missing if not measured.",
            memory.measured_mib,
        ),
        ("lcm_host_memory_used_bytes", "Counted as used, including foreign memory.", Some(memory.used_mib)),
        ("lcm_host_memory_free_bytes", "Available to one more service.", Some(memory.free_mib)),
    ];
    let known = amounts.into_iter().filter_map(|(name, help, amount)| Some((name, help, amount?)));
    known.map(|(name, help, amount)| Metric::one(name, help, vec![], bytes(amount))).collect()
}

fn of_goals(status: &Status) -> [Metric; 2] {
    let of_each = |name, help, is: fn(&GoalLine) -> bool| {
        let series = status.goals.iter().map(|goal| Series {
            labels: vec![("goal", goal.name.to_string())],
            value: u8::from(is(goal)).to_string(),
        });
        Metric { name, help, series: series.collect() }
    };
    [
        of_each("lcm_goal_active", "1: the goal is active in the mode.", |goal| goal.active),
        of_each("lcm_goal_met", "1: all services that the goal needs are operational.", |goal| goal.met),
    ]
}

fn of_last_run(run: &LastRun) -> [Metric; 2] {
    [
        Metric::one(
            "lcm_last_run_timestamp_seconds",
            "End of the last run that changed something or failed.",
            vec![],
            seconds(run.ended_at),
        ),
        Metric::one("lcm_last_run_exit_code", "Exit code of that run.", vec![], run.exit_code),
    ]
}

impl Metric {
    fn one(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: impl Display) -> Self {
        Self { name, help, series: vec![Series { labels, value: value.to_string() }] }
    }
}

/// Writes a metric. All are gauges: each may decrease.
fn write(text: &mut String, metric: &Metric, project: &str) {
    let Metric { name, help, series } = metric;
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for Series { labels, value } in series {
        let _ = write!(text, "{name}{{project=\"{}\"", escaped(project));
        for (label, value) in labels {
            let _ = write!(text, ",{label}=\"{}\"", escaped(value));
        }
        let _ = writeln!(text, "}} {value}");
    }
}

/// Escapes a label's value. Invisible characters are written by number, so that different labels stay different.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            unseen if is_unseen(unseen) => drop(write!(escaped, "\\\\u{{{:x}}}", u32::from(unseen))),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn bytes(amount: Mebibytes) -> String {
    (u128::from(amount.0) << 20).to_string()
}

fn seconds(at: Timestamp) -> String {
    at.as_second().to_string()
}

#[cfg(test)]
mod tests;
