//! `lifecycle.allow` and `lifecycle.deny`: the meaning of each rule, and warnings for those without effect.

use std::collections::BTreeSet;

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::modes;
use crate::manifest::wire;
use crate::manifest::wire::lifecycle::{DAY_MINUTES, Days, TimeOfDay};
use crate::manifest::wire::shape::OneOrMany;
use crate::model::lifecycle::State;
use crate::model::names::ModeName;
use crate::model::rules::{Day, Hours, Rule, Rules};
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;

/// Returns the rules of all files, in the order of the files.
pub(super) fn rules(context: &mut ResolveContext<'_>) -> Rules {
    let input = context.input;
    let written = || input.files.iter().filter_map(|file| file.manifest.lifecycle.as_ref());
    let mut rules = Rules::default();
    for written in written().flat_map(|lifecycle| &lifecycle.allow) {
        let Some(rule) = rule(context, written) else { continue };
        if rule.matches_only(State::may_become) {
            let help =
                "the lifecycle has this change already; remove the rule, or move it under `deny` to forbid the change";
            idle(context, written, "this rule allows only changes that are legal anyway", help);
        }
        rules.allow.push(rule);
    }
    for written in written().flat_map(|lifecycle| &lifecycle.deny) {
        let Some(rule) = rule(context, written) else { continue };
        // A denial may cover a change that another rule allows, in any file.
        let exists = |from: State, to| from.may_become(to) || rules.allow.iter().any(|allow| allow.names(from, to));
        if rule.matches_only(|from, to| !exists(from, to)) {
            let help = "the lifecycle has no such change; remove the rule, or correct its states";
            idle(context, written, "this rule denies only changes that are never made", help);
        }
        rules.deny.push(rule);
    }
    rules
}

fn idle(context: &mut ResolveContext<'_>, written: &Located<wire::lifecycle::RuleBlock>, message: &str, help: &str) {
    if written.damaged {
        return;
    }
    let place = context.place(written.span);
    context.problems.push(Problem::warning("lcm::manifest::rule", message).at(place, "no effect").help(help));
}

fn rule(context: &mut ResolveContext<'_>, written: &Located<wire::lifecycle::RuleBlock>) -> Option<Rule> {
    if written.from.is_none() && written.to.is_none() {
        let help = "write `from:` or `to:`, or both, with a state or a list of states";
        context.missing(written, "a rule needs a `from` or a `to`", help);
    }
    let from = states(context, written.from.as_ref());
    let to = states(context, written.to.as_ref());
    let services = context.listed(written.services.as_ref());
    let services = modes::named(context, services);
    let modes = context.listed(written.mode.as_ref()).iter();
    let names = &context.input.names.modes;
    let modes: Vec<_> = modes.filter(|mode| context.known("mode", mode, names)).collect();
    let modes = modes.into_iter().map(|mode| ModeName::new(mode.value.clone())).collect();
    let hours = match (&written.hours, &written.zone) {
        (Some(hours), zone) => Some(self::hours(context, hours, zone.as_ref())?),
        (None, Some(zone)) if !written.damaged => {
            let message = "`zone` only applies to `hours`";
            context.error("lcm::manifest::conflict", zone.span, message, "no `hours` here");
            None
        }
        (None, Some(_) | None) => None,
    };
    let reason = written.reason.as_ref().map(|reason| reason.value.clone());
    Some(Rule { from, to, services, modes, hours, reason, source: context.source(written.span) })
}

fn states(context: &mut ResolveContext<'_>, written: Option<&Located<OneOrMany<Located<State>>>>) -> BTreeSet<State> {
    context.listed(written).iter().map(|state| state.value).collect()
}

/// Returns `None` where a problem was reported.
fn hours(
    context: &mut ResolveContext<'_>,
    written: &Located<wire::lifecycle::HoursBlock>,
    beside: Option<&Located<String>>,
) -> Option<Hours> {
    let (from, until, days, within) = match &written.value {
        wire::lifecycle::HoursBlock::Line(from, until) => (*from, *until, None, None),
        wire::lifecycle::HoursBlock::Parts(parts) => {
            (parts.from.value, parts.until.value, parts.days.as_ref(), parts.zone.as_ref())
        }
    };
    let days = context.listed(days).iter().flat_map(|days| in_a_row(days.value)).collect();
    if from.0 == DAY_MINUTES || from == until {
        let help =
            "the second time is not included: write `00:00-24:00` for whole days, or leave `hours` out for always";
        context.error_with_help(
            "lcm::manifest::hours",
            written.span,
            ("these hours are empty", "no time at all"),
            help,
        );
        return None;
    }
    if let (Some(beside), Some(within)) = (beside, within) {
        let problem = Problem::error("lcm::manifest::conflict", "hours have one zone; found two")
            .at(context.place(beside.span), "and this one")
            .also(context.place(within.span), "this one");
        context.problems.push(problem);
    }
    let Some(zone) = within.or(beside) else {
        let help = "write, for example, `zone: Europe/Berlin`: a plan must mean the same on every machine";
        context.missing(written, "hours need a `zone`", help);
        return None;
    };
    Some(Hours { from: time(from), until: time(until), days, zone: zone_of(context, zone)? })
}

fn time(TimeOfDay(minutes): TimeOfDay) -> Time {
    let part = |number: u16| i8::try_from(number).unwrap_or_default();
    Time::new(part(minutes % DAY_MINUTES / 60), part(minutes % 60), 0, 0).unwrap_or(Time::midnight())
}

/// Returns the days from first to last; `fri-mon` goes over the end of the week.
fn in_a_row(Days { first, last }: Days) -> impl Iterator<Item = Day> {
    let length = (last + 7 - first) % 7 + 1;
    Weekday::Monday.cycle_forward().skip(first).take(length).map(Day)
}

fn zone_of(context: &mut ResolveContext<'_>, written: &Located<String>) -> Option<TimeZone> {
    // The database is built in: this reads nothing from the host.
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(written) {
        return Some(zone);
    }
    let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let near = suggest(written, names.iter().map(String::as_str));
    // A list of all six hundred names would not help.
    let near = if near.starts_with("did") { near } else { String::new() };
    let help = format!("{near} use a name of the IANA database, such as `Europe/Berlin` or `UTC`");
    let message = format!("unknown time zone `{}`", written.value);
    context.error_with_help("lcm::manifest::zone", written.span, (message, "this zone"), help.trim_start());
    None
}
