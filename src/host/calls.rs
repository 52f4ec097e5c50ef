//! Calls hooks and notifiers: a program with the payload on its stdin, or an address with it as the body. They get the
//! same environment from a shell, from cron and from CI, and nothing of any service's own: that may hold secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::host::program::command::CommandExit;
use crate::host::program::converse::{OutputExcerpt, converse};
use crate::host::program::environment;
use crate::host::program::guardian::CommandReport;
use crate::host::{probes, proc};
use crate::model::call::Call;
use crate::model::hooks::Payload;

/// An lcm that is called by one of these must find the store and the lock of the lcm that calls.
const HANDED_ON: [&str; 2] = ["LCM_STATE_DIR", "LCM_LOCK"];

/// One call of a hook or a notifier.
#[derive(Clone, Copy, Debug)]
pub struct HookCall<'a> {
    pub call: &'a Call,
    /// Where a program is run.
    pub cwd: &'a Path,
    pub timeout: Duration,
    pub payload: Payload<'a>,
}

/// Outcome of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookResult {
    /// `None`: it exited 0, or answered with a 2xx.
    pub error: Option<String>,
    /// Text that it wrote or answered; from its middle something may be missing.
    pub output: String,
}

/// `own` is lcm's own environment; `lcm` becomes the guardian of a program.
pub(crate) async fn run(hook: &HookCall<'_>, own: &BTreeMap<String, String>, lcm: &Path) -> HookResult {
    let told = serde_json::to_value(hook.payload).expect("a payload is made of maps, lists and texts");
    match hook.call {
        Call::Http { method, url, json } => ask(hook, method, url, json.as_ref().unwrap_or(&told)).await,
        Call::Exec(argv) => exec(hook, argv, &told, own, lcm).await,
    }
}

async fn ask(hook: &HookCall<'_>, method: &str, url: &str, json: &Value) -> HookResult {
    let (answered, body) = probes::call(method, url, Some(json), hook.timeout).await;
    let mut excerpt = OutputExcerpt::default();
    excerpt.add(&body);
    // Whoever shows the error names the address already.
    let error = answered.err().map(|error| error.strip_prefix(&format!("{url}: ")).unwrap_or(&error).to_owned());
    HookResult { error, output: excerpt.text() }
}

async fn exec(
    hook: &HookCall<'_>,
    argv: &[String],
    told: &Value,
    own: &BTreeMap<String, String>,
    lcm: &Path,
) -> HookResult {
    let not_run = |reason: String| HookResult { error: Some(format!("can't run: {reason}")), output: String::new() };
    let environment = environment(hook.payload, own);
    let invocation = match environment::invoke(argv, hook.cwd.to_owned(), environment) {
        Ok(invocation) => invocation,
        Err(reason) => return not_run(reason),
    };
    match converse(lcm, &invocation, &format!("{told}\n"), hook.timeout).await {
        Ok((report, excerpt)) => HookResult { error: error(&report, hook.timeout), output: output(&report, &excerpt) },
        Err(error) => not_run(error.to_string()),
    }
}

fn error(report: &CommandReport, timeout: Duration) -> Option<String> {
    let how = match CommandExit::of(report) {
        CommandExit::Code(0) => None,
        CommandExit::Code(code) => Some(format!("exits {code}")),
        CommandExit::TimedOut => Some(format!("did not end within {}", probes::seconds(timeout))),
    };
    if report.survivors.is_empty() {
        return how;
    }
    let survivors = report.survivors.join(", ");
    Some(format!(
        "{}left processes that can't be ended: {survivors}",
        how.map(|how| format!("{how}, and ")).unwrap_or_default()
    ))
}

/// A program that means to leave something running learns here why it does not run: that is a service's part.
fn output(report: &CommandReport, excerpt: &OutputExcerpt) -> String {
    let mut output = excerpt.text();
    if !report.ended.is_empty() && CommandExit::of(report) != CommandExit::TimedOut {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        let _ = writeln!(output, "lcm: ended what was left running: {}", report.ended.join(", "));
    }
    output
}

/// Project and service alone make nobody a part of a service: only lcm's own starts carry a salt.
fn environment(payload: Payload<'_>, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = environment::fixed(own);
    for name in HANDED_ON {
        // Relative to lcm's own folder, which is not the hook's.
        if let Some(path) = own.get(name).and_then(|value| std::path::absolute(value).ok()) {
            environment.insert(name.to_owned(), path.display().to_string());
        }
    }
    let service = payload.service().map(|service| (proc::SERVICE, service.to_string()));
    let rest = [(proc::PROJECT, payload.project().to_string()), ("LCM_HOOK", payload.hook().to_owned())];
    for (name, value) in rest.into_iter().chain(service) {
        environment.insert(name.to_owned(), value);
    }
    environment
}
