//! What may follow from where a service is: what it may become, what a rule forbids, and what an operator may order.
//! What happens to a service by itself asks no rule.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::budget::Budget;
use crate::model::desired::Desired;
use crate::model::harmless;
use crate::model::lifecycle::{Action, State};
use crate::model::names::ServiceName;
use crate::model::observed::{Observed, ObservedService, Ownership};
use crate::model::rules::{Case, Rules};
use crate::model::words::Word;
use crate::report::status::ServiceLine;
use crate::report::style::{Paint, Style};

/// What there is to say of each service that was asked after, beside its line.
pub type Outlooks = BTreeMap<ServiceName, Outlook>;

/// What stands against, and what can be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// `stopping until 18:00 Europe/Berlin: renders for clients (lcm.yaml:12)`, one for each rule.
    denied: Vec<String>,
    /// Why it can't be stopped, though its own rules have nothing against it.
    needed: Option<String>,
    /// `lcm stop comfyui`, each legal from here.
    commands: Vec<String>,
}

impl Outlook {
    /// Of a service that the manifest has; `None`: it has no such one, or nothing was looked at.
    #[must_use]
    pub fn of(desired: &Desired, observed: &Observed, name: &ServiceName) -> Option<Self> {
        let (service, seen) = (desired.services.get(name)?, observed.services.get(name)?);
        let case = Case { service: name, mode: desired.mode.as_ref(), at: observed.observed_at };
        let budget = Budget::of(service, seen, observed.observed_at);
        let mut commands = orders(&desired.rules, &case, seen, budget);
        let needed = needed(desired, observed, name).filter(|_| seen.holds_room);
        if needed.is_some() {
            commands.retain(|command| !["stop", "restart", "terminate"].contains(command));
        }
        let commands = commands.into_iter();
        Some(Self {
            needed,
            denied: denied(&desired.rules, &case, seen.state),
            commands: commands.map(|command| format!("lcm {command} {name}")).collect(),
        })
    }
}

/// Several changes that one rule forbids stand together.
fn denied(rules: &Rules, case: &Case<'_>, from: State) -> Vec<String> {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for denial in rules.denials(case, from) {
        let terms = format!("{} ({})", denial.terms(), denial.rule.source);
        match told.iter_mut().find(|(other, _)| *other == terms) {
            Some((_, states)) => states.push(denial.to.as_str()),
            None => told.push((terms, vec![denial.to.as_str()])),
        }
    }
    told.into_iter().map(|(terms, states)| format!("{}{terms}", states.join(", "))).collect()
}

/// What runs and depends on it would be stopped along: who of these stands against that.
fn needed(desired: &Desired, observed: &Observed, name: &ServiceName) -> Option<String> {
    let mut open = vec![name];
    let mut met = BTreeSet::from([name]);
    // Ends: each service is taken up once.
    while let Some(base) = open.pop() {
        let depends = desired.services.values().filter(|service| service.depends_on.contains_key(base));
        for dependent in depends.map(|service| &service.name).filter(|other| met.insert(*other)) {
            let Some(seen) = observed.services.get(dependent).filter(|seen| seen.holds_room) else { continue };
            let case = Case { service: dependent, mode: desired.mode.as_ref(), at: observed.observed_at };
            let held = seen.word.as_ref().filter(|said| said.word != Word::Terminate);
            if let Some(said) = held {
                return Some(format!("{dependent}, which depends on it, is held ({})", said.by_whom()));
            }
            if let Err(refusal) = desired.rules.way(&case, Action::Stop, seen.state) {
                return Some(format!("{dependent}, which depends on it, can't be stopped: {refusal}"));
            }
            open.push(dependent);
        }
    }
    None
}

/// Nothing can be ordered of what is not known or not lcm's; what an operator holds is resumed first.
fn orders(rules: &Rules, case: &Case<'_>, seen: &ObservedService, budget: Budget) -> Vec<&'static str> {
    let ours = match &seen.ownership {
        Ownership::Absent | Ownership::Ours | Ownership::Adopted => true,
        Ownership::Missing { .. } | Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    let mut commands = if ours && seen.unknown.is_none() { rules.commands(case, seen.state) } else { Vec::new() };
    let said = seen.word.as_ref().map(|said| said.word);
    if let Some(word) = said {
        let stops = word == Word::Terminate;
        commands.retain(|command| match *command {
            "start" | "restart" => false,
            "stop" => stops,
            other => other != word.as_str(),
        });
    }
    if (said.is_some() || budget.holds()) && !commands.contains(&"resume") {
        commands.insert(0, "resume");
    }
    commands
}

/// The block of one service, its first line not set in.
pub(super) fn lines(line: &ServiceLine, outlook: &Outlook, style: Style) -> Vec<String> {
    let sure = if line.known { "is" } else { "is taken to be" };
    let name = style.paint(Paint::Strong, &line.name.to_string());
    let mut lines = vec![format!("{name} {sure} {}: {}", line.state.spoken(), meaning(line.state))];
    let mut tell =
        |label: &str, text: &str| lines.push(format!("  {} {}", style.paint(Paint::Dim, label), harmless::line(text)));
    let since = line.since.map(|since| format!("since {since:.0}"));
    // A word tells since when by itself.
    let since = since.filter(|since| !line.reason.contains(since));
    let why: Vec<&str> = [Some(line.reason.as_str()), since.as_deref()].into_iter().flatten().collect();
    tell("why:", &why.join("; "));
    tell("may become:", &or_nothing(&line.next.iter().map(ToString::to_string).collect::<Vec<_>>()));
    for denied in &outlook.denied {
        tell("not now, by rule:", denied);
    }
    if let Some(why) = &outlook.needed {
        tell("not to be stopped:", why);
    }
    let commands: Vec<String> = outlook.commands.iter().map(|command| format!("`{command}`")).collect();
    tell("you can:", &or_nothing(&commands));
    lines
}

fn or_nothing(words: &[String]) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// As it stands after a colon.
fn meaning(state: State) -> String {
    let sentence = state.meaning().trim_end_matches('.');
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use jiff::civil::time;
    use jiff::tz::TimeZoneDatabase;

    use super::{Outlook, denied, lines, orders};
    use crate::model::budget::Budget;
    use crate::model::lifecycle::State;
    use crate::model::names::ServiceName;
    use crate::model::observed::{ObservedService, Ownership};
    use crate::model::rules::{Case, Hours, Rule, Rules};
    use crate::model::size::Mebibytes;
    use crate::model::words::{Said, Word};
    use crate::report::fold::folded;
    use crate::report::status::{EstimatesLine, ServiceLine};
    use crate::report::style::Style;

    /// A Saturday, at 12:00 in Berlin.
    fn noon() -> Timestamp {
        "2026-11-21T11:00:00Z".parse().expect("a time")
    }

    /// Renders are not interrupted before the evening, and what is suspended for good needs a ticket.
    fn rules() -> Rules {
        let zone = TimeZoneDatabase::bundled().get("Europe/Berlin").expect("a zone");
        let hours = Hours { from: time(9, 0, 0, 0), until: time(18, 0, 0, 0), days: BTreeSet::new(), zone };
        let rule = |source: &str, to: &[State], reason: &str| Rule {
            from: BTreeSet::from([State::Idle]),
            to: to.iter().copied().collect(),
            services: BTreeSet::new(),
            modes: BTreeSet::new(),
            hours: None,
            reason: Some(reason.to_owned()),
            source: source.to_owned(),
        };
        let renders = rule("lcm.yaml:12", &[State::Stopping, State::Offline], "renders for clients");
        // The rows have no way from idle to deployed: it is no news that a rule forbids it.
        let ticket = rule("lcm.yaml:14", &[State::Suspended, State::Deployed], "write a ticket");
        Rules { deny: vec![Rule { hours: Some(hours), ..renders }, ticket], ..Rules::default() }
    }

    fn seen(state: State) -> ObservedService {
        ObservedService::plain(state, "its health probe passes", Ownership::Ours)
    }

    fn told(rules: &Rules, seen: &ObservedService) -> String {
        let name = ServiceName::from("comfyui");
        let case = Case { service: &name, mode: None, at: noon() };
        let line = ServiceLine {
            name: name.clone(),
            runtime: "docker".to_owned(),
            state: seen.state,
            known: seen.unknown.is_none(),
            next: rules.next(&case, seen.state).collect(),
            owned: true,
            operational: true,
            available: true,
            priority: 0,
            gpus: Vec::new(),
            vram_declared_mib: Mebibytes::ZERO,
            vram_measured_mib: None,
            since: Some("2026-11-21T09:30:00.25Z".parse().expect("a time")),
            reason: seen.detail.clone(),
            word: None,
            estimates: EstimatesLine::default(),
            budget: None,
        };
        let commands = orders(rules, &case, seen, Budget::Open).into_iter().map(|order| format!("lcm {order} {name}"));
        let outlook = Outlook { denied: denied(rules, &case, seen.state), needed: None, commands: commands.collect() };
        folded(&lines(&line, &outlook, Style::PLAIN).join("\n"), Style { width: Some(80), ..Style::PLAIN })
    }

    #[test]
    fn what_may_follow_is_told_with_what_a_rule_forbids() {
        let text = "\
comfyui is idle: it answers, and has nothing to do
  why: its health probe passes; since 2026-11-21T09:30:00Z
  may become: online, busy, updating, scaling, error, maintenance
  not now, by rule: stopping, offline until 18:00 Europe/Berlin: renders for
    clients (lcm.yaml:12)
  not now, by rule: suspended: write a ticket (lcm.yaml:14)
  you can: `lcm maintain comfyui`";
        assert_eq!(told(&rules(), &seen(State::Idle)), text);
    }

    #[test]
    fn nothing_is_offered_of_what_is_not_known_or_not_lcms() {
        let unknown = ObservedService { unknown: Some("no engine".to_owned()), ..seen(State::Idle) };
        let text = told(&Rules::default(), &unknown);
        assert!(text.starts_with("comfyui is taken to be idle: "), "{text}");
        assert!(text.ends_with("you can: nothing"), "{text}");
        let foreign = ObservedService { ownership: Ownership::Foreign { holder: "nginx".to_owned() }, ..unknown };
        assert!(told(&Rules::default(), &ObservedService { unknown: None, ..foreign }).ends_with("you can: nothing"));
    }

    #[test]
    fn what_an_operator_holds_is_resumed_before_anything_else() {
        let commands = |state, word| {
            let said = Said { word, by: "kim".to_owned(), since: noon(), reason: None, metadata: [].into() };
            let text = told(&Rules::default(), &ObservedService { word: Some(Box::new(said)), ..seen(state) });
            text.split_once("you can: ").expect("commands").1.replace(" comfyui", "").replace("\n   ", "")
        };
        assert_eq!(commands(State::Maintenance, Word::Maintain), "`lcm resume`, `lcm suspend`, `lcm terminate`");
        assert_eq!(commands(State::Terminated, Word::Terminate), "`lcm resume`, `lcm maintain`, `lcm suspend`");
        // The word is kept, and was not carried out yet.
        assert_eq!(commands(State::Online, Word::Terminate), "`lcm resume`, `lcm stop`, `lcm maintain`, `lcm suspend`");
    }
}
