//! Hooks, notifiers, and the recovery of failed services.

use std::path::PathBuf;
use std::time::Duration;

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::{modes, probes};
use crate::manifest::wire;
use crate::manifest::wire::probes::RequestBlock;
use crate::manifest::wire::shape::{CommandLine, OneOrMany};
use crate::model::call::Call;
use crate::model::desired::Recover;
use crate::model::hooks::{Hook, Hooks, Notifier, When};
use crate::syntax::located::Located;
use crate::syntax::scalar::DurationText;
use crate::syntax::source::Span;

/// Default time limit of a hook: long enough for a first request to a model that was just loaded.
const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Default time limit of a notifier. No step waits for one, but those that hang should not pile up.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// Position of a hook: before the change, which it may prevent, or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Pre,
    Post,
}

pub(super) fn hooks(context: &mut ResolveContext<'_>, written: Option<&Located<wire::hooks::HooksBlock>>) -> Hooks {
    let Some(written) = written else { return Hooks::default() };
    Hooks {
        pre_start: list(context, written.pre_start.as_ref(), Side::Pre),
        post_start: list(context, written.post_start.as_ref(), Side::Post),
        pre_stop: list(context, written.pre_stop.as_ref(), Side::Pre),
        post_stop: list(context, written.post_stop.as_ref(), Side::Post),
    }
}

fn list(
    context: &mut ResolveContext<'_>,
    written: Option<&OneOrMany<Located<wire::hooks::HookBlock>>>,
    side: Side,
) -> Vec<Hook> {
    written.iter().flat_map(|list| &list.0).filter_map(|written| hook(context, written, side)).collect()
}

fn hook(context: &mut ResolveContext<'_>, written: &Located<wire::hooks::HookBlock>, side: Side) -> Option<Hook> {
    if let (Some(required), Side::Post) = (&written.required, side) {
        let help = "remove it, or move the hook to `pre_start` or `pre_stop`, which can prevent the change; \
                                a hook that fails afterwards is recorded, and stops nothing";
        let message = "`required` only applies before a change";
        context.error_with_help(
            "lcm::manifest::conflict",
            required.span,
            (message, "the change is already made"),
            help,
        );
    }
    let required = written.required.as_ref().is_some_and(|required| required.value);
    let call = call(context, written, written.exec.as_ref(), written.http.as_ref());
    let timeout = timeout(context, written.timeout.as_ref(), HOOK_TIMEOUT);
    Some(Hook { call: call?, cwd: folder(context, written.span), timeout, required })
}

/// Returns the notifiers of all files, in the order of the files.
pub(super) fn notifiers(context: &mut ResolveContext<'_>) -> Vec<Notifier> {
    let input = context.input;
    let written = input.files.iter().flat_map(|file| &file.manifest.notify);
    written.filter_map(|written| notifier(context, written)).collect()
}

fn notifier(context: &mut ResolveContext<'_>, written: &Located<wire::hooks::NotifierBlock>) -> Option<Notifier> {
    let call = call(context, written, written.exec.as_ref(), written.http.as_ref());
    let timeout = timeout(context, written.timeout.as_ref(), NOTIFY_TIMEOUT);
    let states = context.listed(written.states.as_ref()).iter().map(|state| state.value).collect();
    let classes = context.listed(written.classes.as_ref()).iter().map(|class| class.value).collect();
    let events = context.listed(written.events.as_ref()).iter().map(|event| event.value).collect();
    let services = context.listed(written.services.as_ref());
    let services = modes::named(context, services);
    let when = match written.when {
        Some(wire::hooks::WhenValue::Before) => When::Before,
        Some(wire::hooks::WhenValue::After) | None => When::After,
    };
    let cwd = folder(context, written.span);
    Some(Notifier {
        call: call?,
        cwd,
        timeout,
        when,
        states,
        classes,
        services,
        events,
        source: context.source(written.span),
    })
}

pub(super) fn recover(
    context: &mut ResolveContext<'_>,
    written: Option<&Located<wire::hooks::RecoverBlock>>,
) -> Recover {
    let Recover { attempts, backoff, max_backoff } = Recover::default();
    let Some(written) = written else { return Recover { attempts, backoff, max_backoff } };
    context.positive(written.backoff.as_ref());
    context.positive(written.max_backoff.as_ref());
    let period = |period: &Option<Located<DurationText>>| period.as_ref().map(|period| period.0);
    let recover = Recover {
        attempts: written.attempts.as_ref().map_or(attempts, |attempts| attempts.value),
        backoff: period(&written.backoff).unwrap_or(backoff),
        max_backoff: period(&written.max_backoff).unwrap_or(max_backoff),
    };
    let said = written.backoff.as_ref().or(written.max_backoff.as_ref());
    if let Some(said) = said
        && recover.backoff > recover.max_backoff
        && !recover.max_backoff.is_zero()
        && !written.damaged
    {
        let message = "`backoff` is longer than `max_backoff`";
        let help = "a wait starts at `backoff` (default 1s) and grows up to `max_backoff` (default 1h)";
        context.error_with_help("lcm::manifest::conflict", said.span, (message, "longer than the maximum"), help);
    }
    recover
}

/// Returns the call by `exec` or `http`; reports a problem for both or neither.
fn call<T>(
    context: &mut ResolveContext<'_>,
    within: &Located<T>,
    exec: Option<&Located<CommandLine>>,
    http: Option<&Located<RequestBlock>>,
) -> Option<Call> {
    probes::one_of(context, "a call uses `exec` or `http`", &[exec.map(|exec| exec.span), http.map(|http| http.span)]);
    match (exec, http) {
        (Some(exec), _) => Some(Call::Exec(probes::exec_argv(exec))),
        (None, Some(http)) => Some(probes::request(context, http)),
        (None, None) => {
            context.missing(within, "neither `exec` nor `http`", "write `exec: [./program]` or `http: { url: … }`");
            None
        }
    }
}

fn timeout(context: &mut ResolveContext<'_>, written: Option<&Located<DurationText>>, default: Duration) -> Duration {
    context.positive(written);
    written.map_or(default, |period| period.0)
}

/// Folder of the file that holds the key.
fn folder(context: &ResolveContext<'_>, span: Span) -> PathBuf {
    context.input.sources.get(span.file).folder.clone()
}
