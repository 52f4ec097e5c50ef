//! Resolution of the `process` key: command, working folder, environment and log.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::environment::{WrittenEnvironment, chosen_by_lcm, environment};
use crate::manifest::resolve::resolved::{ResolvedRuntime, as_index, gets_gpus};
use crate::manifest::wire::service::ServiceBlock;
use crate::manifest::wire::shape::CommandLine;
use crate::manifest::wire::ulimit;
use crate::model::reserved_variables::names_gpus;
use crate::model::spec::Spec;
use crate::runtime::process::intent::{CommandSpec, LogPolicy, PidFile, ProcessLimits, ProcessSpec, ProcessUlimit};
use crate::runtime::process::wire::{self, ProcessBlock};
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;

/// Default size of a log: three full days of a chatty model server, and too little to fill a disk.
const LOG_BYTES_DEFAULT: u64 = 20 << 20;
const LOG_FILES_DEFAULT: u32 = 3;
/// Bound for copies of a log: each rotation renames all of them while the log waits.
const LOG_FILES_MAX: u32 = 100;
/// Range of the kernel's scheduling priorities.
const NICE_MIN: i32 = -20;
const NICE_MAX: i32 = 19;
const SHELL_DEFAULT: &str = "sh";

/// Resolves the `process` key. The default of `cwd` is the folder of the file that declares the service.
pub(crate) fn resolve(
    context: &mut ResolveContext<'_>,
    name: &Located<String>,
    service: &ServiceBlock,
    written: &Located<ProcessBlock>,
) -> Option<ResolvedRuntime> {
    let mut config = Map::new();
    let command = command(context, written, &mut config);
    let cwd_text = written.cwd.as_ref().map_or("", |cwd| cwd.value.as_str());
    let cwd = match &written.cwd {
        Some(cwd) => context.path(cwd)?,
        None => context.input.sources.get(name.span.file).folder.clone(),
    };
    config.insert("cwd".to_owned(), context.spec_path(cwd_text, &cwd).into());
    let pairs = WrittenEnvironment {
        pairs: written.environment.as_ref(),
        env_files: written.env_file.as_ref(),
        secret: &written.secret,
        plain: &written.plain,
        gets_gpus: gets_gpus(service),
    };
    let environment = environment(context, service, pairs);
    if as_index(service) {
        config.insert("gpu_as".to_owned(), "index".into());
    }
    if gets_gpus(service) {
        for name in written.inherit.iter().filter(|name| names_gpus(&name.value)) {
            chosen_by_lcm(context, &name.value, name.span);
        }
    }
    if let Some(masked) = environment.masked() {
        config.insert("environment".to_owned(), masked);
    }
    let inherit = written.inherit.iter().map(|name| name.value.clone()).collect();
    if !written.inherit.is_empty() {
        config.insert("inherit".to_owned(), json!(inherit));
    }
    let limits = limits(context, written, &mut config);
    // Not in the spec: a change of the log's bounds or of a pid file is no reason to restart the service.
    let log = log(context, written);
    if let (Some(file), Some(job)) = (&written.pid_file, service.job.as_ref().filter(|job| job.value))
        && file.matching.is_some()
    {
        let message = "a process that is adopted by its `pid_file` can't be a job: its exit code is not known";
        context.error("lcm::manifest::job", job.span, message, "remove this, or `match` in `pid_file`");
    }
    let (pid_file, writes_pid) = match &written.pid_file {
        Some(file) => pid_file(context, file)?,
        None => (None, None),
    };
    let process = ProcessSpec {
        command: command?,
        cwd,
        environment: environment.values,
        inherit,
        log,
        pid_file,
        writes_pid,
        limits,
    };
    Some(ResolvedRuntime {
        workload: process.into(),
        spec: Spec::new(Value::Object(config), environment.secrets),
        missing_secrets: environment.missing.into_iter().collect(),
        published: None,
        object: None,
    })
}

/// Resolves `pid_file`: the file that names a process to adopt, or the file to write.
fn pid_file(
    context: &mut ResolveContext<'_>,
    file: &Located<wire::PidFileBlock>,
) -> Option<(Option<PidFile>, Option<PathBuf>)> {
    let path = context.path(&file.path);
    let is_written = file.write.as_ref().is_some_and(|write| write.value);
    match (&file.matching, &file.write) {
        (Some(_), Some(write)) if is_written => {
            let message = "`write` and `match` exclude each other: lcm writes the file, or another program does";
            context.error("lcm::manifest::conflict", write.span, message, "remove this one or `match`");
            None
        }
        (Some(matching), _) => {
            if matching.is_empty() {
                context.error("lcm::manifest::empty", matching.span, "`match` is empty", "every process would match");
            }
            Some((Some(PidFile { path: path?, matching: matching.value.clone() }), None))
        }
        (None, _) if is_written => Some((None, Some(path?))),
        (None, _) => {
            let help = "write `match: TEXT`, which the arguments of the process contain, or `write: true` to have lcm write \
                        the file";
            context.missing(file, "a pid file needs `match` or `write: true`", help);
            None
        }
    }
}

fn command(
    context: &mut ResolveContext<'_>,
    written: &Located<ProcessBlock>,
    config: &mut Map<String, Value>,
) -> Option<CommandSpec> {
    let Some(command) = &written.command else {
        context.missing(written, "a process needs a `command`", "write `command: [./serve.sh]`");
        return None;
    };
    match &command.value {
        CommandLine::Words(words) => {
            if let Some(shell) = &written.shell {
                let message = "`shell` has no effect: a command that is a list runs without a shell";
                context.error("lcm::manifest::conflict", shell.span, message, "this shell is never called");
            }
            config.insert("command".to_owned(), json!(words));
            Some(CommandSpec::Exec(words.clone()))
        }
        CommandLine::Line(line) => {
            config.insert("command".to_owned(), json!(line));
            if let Some(shell) = &written.shell {
                config.insert("shell".to_owned(), json!(shell.value));
            }
            let shell = written.shell.as_ref().map_or(SHELL_DEFAULT, |shell| shell.value.as_str());
            Some(CommandSpec::Shell { shell: shell.to_owned(), line: line.clone() })
        }
    }
}

/// Returns the limits, and adds those that are set to the spec.
fn limits(
    context: &mut ResolveContext<'_>,
    written: &Located<ProcessBlock>,
    config: &mut Map<String, Value>,
) -> ProcessLimits {
    let mut limits = ProcessLimits::default();
    for (name, limit) in written.ulimits.iter().flat_map(|limits| &limits.0) {
        if !ulimit::NAMES.contains(&name.value.as_str()) {
            let message = format!("unknown ulimit `{}`", name.value);
            let help = suggest(name, ulimit::NAMES);
            context.error_with_help("lcm::manifest::unknown_key", name.span, (message, "this name"), help);
        }
        // The reader takes -1 as the only negative number: no limit.
        let ulimit = ProcessUlimit { soft: u64::try_from(limit.soft).ok(), hard: u64::try_from(limit.hard).ok() };
        limits.ulimits.insert(name.value.clone(), ulimit);
    }
    if !limits.ulimits.is_empty() {
        let written = written.ulimits.iter().flat_map(|limits| &limits.0);
        let pair = |limit: &ulimit::UlimitBlock| json!({ "soft": limit.soft, "hard": limit.hard });
        let hashed = written.map(|(name, limit)| (name.value.clone(), pair(limit))).collect();
        config.insert("ulimits".to_owned(), Value::Object(hashed));
    }
    if let Some(nice) = &written.nice {
        if !(NICE_MIN..=NICE_MAX).contains(&nice.value) {
            let message = format!("`nice` must be from {NICE_MIN} to {NICE_MAX}");
            context.error("lcm::manifest::type", nice.span, message, "outside that range");
        }
        config.insert("nice".to_owned(), nice.value.into());
        limits.nice = Some(nice.value);
    }
    limits
}

fn log(context: &mut ResolveContext<'_>, written: &Located<ProcessBlock>) -> LogPolicy {
    let mut policy = LogPolicy { max_size_bytes: LOG_BYTES_DEFAULT, files: LOG_FILES_DEFAULT };
    let Some(log) = &written.log else { return policy };
    if let Some(size) = &log.max_size {
        if size.0 == 0 {
            context.error(
                "lcm::manifest::size",
                size.span,
                "`max_size` must be greater than 0",
                "the log would keep nothing",
            );
        }
        policy.max_size_bytes = size.0;
    }
    if let Some(files) = &log.files {
        if files.value > LOG_FILES_MAX {
            context.error(
                "lcm::manifest::type",
                files.span,
                format!("`files` must be at most {LOG_FILES_MAX}"),
                "too many copies",
            );
        }
        policy.files = files.value;
    }
    policy
}
