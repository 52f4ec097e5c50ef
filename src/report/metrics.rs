//! The status as metrics, in Prometheus' text format 0.0.4: what the textfile collector of its node exporter reads.
//!
//! Names are made as <https://prometheus.io/docs/practices/naming> asks: base units at their end, and no label whose values could
//! not be summed up, so capacity and use are metrics of their own. A state is one series for each state that there is,
//! of which one is 1, as kube-state-metrics does it: a series that ends and another that begins would say nothing of
//! the time between.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use crate::model::harmless::is_unseen;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::size::Mebibytes;
use crate::report::output::Output;
use crate::report::status::{GoalLine, GpuStatus, LastRun, ServiceLine, Status};

/// What a status does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// By the mode, by goals and by what needs them.
    pub wanted: &'a BTreeSet<ServiceName>,
    pub version: &'a str,
}

/// One metric: its name, what it is, and its series.
struct Metric {
    name: &'static str,
    help: &'static str,
    series: Vec<Series>,
}

struct Series {
    labels: Vec<(&'static str, String)>,
    value: String,
}

/// What can be told of one GPU in bytes.
type Amount = fn(&GpuStatus) -> Option<Mebibytes>;

/// The whole exposition: the same status gives the same bytes.
#[must_use]
pub fn metrics(status: &Status, beside: Beside<'_>) -> Output {
    let mut metrics = of_project(status, beside.version);
    metrics.extend(of_services(status, beside.wanted));
    metrics.extend(of_gpus(status));
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
        Metric::one("lcm_info", "The active mode, the host, and the lcm that looked.", info, 1),
        Metric::one("lcm_observed_timestamp_seconds", "When lcm looked.", vec![], seconds(status.observed_at)),
        Metric::one(
            "lcm_orphans",
            "Things with this project's mark that the manifest lacks.",
            vec![],
            status.orphans.len(),
        ),
        Metric::one("lcm_warnings", "Warnings that `lcm status` shows.", vec![], status.warnings.len()),
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
        each("lcm_service_up", "1: it is operational: online, busy or idle; missing where it is not known.", &|line| {
            flag(line.operational).filter(|_| line.known)
        }),
        each("lcm_service_known", "0: it could not be read.", &|line| flag(line.known)),
        each("lcm_service_wanted", "1: the mode or a goal wants it to run.", &|line| flag(wanted.contains(&line.name))),
        each("lcm_service_held", "1: an operator's word or a spent budget keeps it as it is.", &|line| {
            flag(line.word.is_some() || line.budget.as_ref().is_some_and(|budget| budget.held))
        }),
        each("lcm_service_priority", "Its own priority; higher matters more.", &|line| Some(line.priority.to_string())),
        each("lcm_service_since_timestamp_seconds", "Since when it is in its state.", &|line| {
            line.since.filter(|_| line.known).map(seconds)
        }),
        each("lcm_service_gpus", "GPUs that it uses now.", &|line| Some(line.gpus.len().to_string())),
        each(
            "lcm_service_gpu_memory_declared_bytes",
            "GPU memory by the manifest, on each GPU that it uses or would use.",
            &|line| Some(bytes(line.vram_declared_mib)),
        ),
        each(
            "lcm_service_gpu_memory_measured_bytes",
            "GPU memory by the driver, on the GPU where it holds most; missing where the driver does not tell.",
            &|line| line.vram_measured_mib.map(bytes),
        ),
    ];
    metrics.extend(copies(status));
    metrics
}

/// Only of services that have not the one copy of most; nothing where there is none.
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
    let help = "Copies that its runtime keeps, that are ready, and that are up to date.";
    (!series.is_empty()).then_some(Metric { name: "lcm_service_copies", help, series })
}

fn states(status: &Status) -> Metric {
    // What could not be read is in no state: a guess would be taken for one.
    let series = status.services.iter().filter(|line| line.known).flat_map(|line| {
        State::ALL.into_iter().map(|state| Series {
            labels: vec![("service", line.name.to_string()), ("state", state.to_string())],
            value: u8::from(line.state == state).to_string(),
        })
    });
    let help = "1 for the state that it is in, 0 for all others; missing where it is not known.";
    Metric { name: "lcm_service_state", help, series: series.collect() }
}

fn of_gpus(status: &Status) -> Vec<Metric> {
    let amounts: [(&'static str, &'static str, Amount); 7] = [
        ("lcm_gpu_memory_capacity_bytes", "What the GPU has.", |gpu| Some(gpu.capacity_mib)),
        ("lcm_gpu_memory_reserve_bytes", "Kept free by the manifest.", |gpu| Some(gpu.reserve_mib)),
        ("lcm_gpu_memory_foreign_bytes", "Held by what is not this manifest's.", |gpu| Some(gpu.foreign_mib)),
        ("lcm_gpu_memory_declared_bytes", "Declared by the services that run on it.", |gpu| Some(gpu.declared_mib)),
        ("lcm_gpu_memory_measured_bytes", "In use by the driver's word; missing where nobody measures.", |gpu| {
            gpu.measured_mib
        }),
        ("lcm_gpu_memory_used_bytes", "What counts as taken, foreign memory with it.", |gpu| Some(gpu.used_mib)),
        ("lcm_gpu_memory_free_bytes", "What one more service may have.", |gpu| Some(gpu.free_mib)),
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
        Metric { name: "lcm_gpu_info", help: "What the GPU is called.", series: info.collect() },
        Metric {
            name: "lcm_gpu_lost",
            help: "1: it is known, and can't be used.",
            series: of_each(&|gpu| Some(u8::from(gpu.lost.is_some() || gpu.unreadable.is_some()).to_string())),
        },
    ];
    metrics.extend(amounts.into_iter().map(|(name, help, amount)| {
        let series = of_each(&|gpu| amount(gpu).map(bytes));
        Metric { name, help, series }
    }));
    metrics
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
        of_each("lcm_goal_active", "1: the mode names it.", |goal| goal.active),
        of_each("lcm_goal_met", "1: all that it needs is operational.", |goal| goal.met),
    ]
}

fn of_last_run(run: &LastRun) -> [Metric; 2] {
    [
        Metric::one(
            "lcm_last_run_timestamp_seconds",
            "When the last run that changed something or failed came to its end.",
            vec![],
            seconds(run.ended_at),
        ),
        Metric::one("lcm_last_run_exit_code", "Its exit code.", vec![], run.exit_code),
    ]
}

impl Metric {
    fn one(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: impl Display) -> Self {
        Self { name, help, series: vec![Series { labels, value: value.to_string() }] }
    }
}

/// All are gauges: each may go down.
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

/// What no eye sees is written by its number, so that labels that differ go on differing.
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
