//! Calls hooks and notifiers: a program with the payload on its stdin, or a URL with the payload as the body. Programs
//! get the same environment from a shell, from cron and from CI, and none of a service's own: that may hold secrets.

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

/// Variables passed on to hooks: an lcm that a hook runs must find the store and the lock of the calling lcm.
const HANDED_ON: [&str; 2] = ["LCM_STATE_DIR", "LCM_LOCK"];

/// One call of a hook or a notifier.
#[derive(Clone, Copy, Debug)]
pub struct HookCall<'a> {
    pub call: &'a Call,
    /// Working directory of a program.
    pub cwd: &'a Path,
    pub timeout: Duration,
    pub payload: Payload<'a>,
}

/// Outcome of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookResult {
    /// Reason of the failure; `None`: the program exited 0, or the URL responded with a 2xx.
    pub error: Option<String>,
    /// Output of the program or body of the response; its middle may be cut out.
    pub output: String,
}

/// Runs the hook. `own` is lcm's own environment; `lcm` is the executable that becomes the guardian of a program.
pub(crate) async fn run(hook: &HookCall<'_>, own: &BTreeMap<String, String>, lcm: &Path) -> HookResult {
    let payload = serde_json::to_value(hook.payload).expect("a payload is made of maps, lists and texts");
    match hook.call {
        Call::Http { method, url, json } => request(hook, method, url, json.as_ref().unwrap_or(&payload)).await,
        Call::Exec(argv) => exec(hook, argv, &payload, own, lcm).await,
    }
}

async fn request(hook: &HookCall<'_>, method: &str, url: &str, json: &Value) -> HookResult {
    let (result, body) = probes::call(method, url, Some(json), hook.timeout).await;
    let mut excerpt = OutputExcerpt::default();
    excerpt.add(&body);
    // Every message that shows this error names the URL already.
    let error = result.err().map(|error| error.strip_prefix(&format!("{url}: ")).unwrap_or(&error).to_owned());
    HookResult { error, output: excerpt.text() }
}

async fn exec(
    hook: &HookCall<'_>,
    argv: &[String],
    payload: &Value,
    own: &BTreeMap<String, String>,
    lcm: &Path,
) -> HookResult {
    let not_run = |reason: String| HookResult { error: Some(format!("can't run: {reason}")), output: String::new() };
    let environment = environment(hook.payload, own);
    let invocation = match environment::invoke(argv, hook.cwd.to_owned(), environment) {
        Ok(invocation) => invocation,
        Err(reason) => return not_run(reason),
    };
    match converse(lcm, &invocation, &format!("{payload}\n"), hook.timeout).await {
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

/// Returns the program's output, with a note on the processes that lcm ended: only a service may leave processes
/// running, and the author of a hook that tries must see why they are gone.
fn output(report: &CommandReport, excerpt: &OutputExcerpt) -> String {
    let mut output = excerpt.text();
    if !report.ended.is_empty() && CommandExit::of(report) != CommandExit::TimedOut {
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        let _ = writeln!(output, "lcm: ended the processes that were left running: {}", report.ended.join(", "));
    }
    output
}

/// Returns the environment of a hook. Naming project and service makes no process a member of that service: only
/// lcm's own starts carry a salt.
fn environment(payload: Payload<'_>, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = environment::fixed(own);
    for name in HANDED_ON {
        // Relative paths count from lcm's working directory, which is not the hook's.
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
