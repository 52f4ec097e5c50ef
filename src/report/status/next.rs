//! Next steps for a service: the states that may follow, the changes that a rule denies, and the legal commands.
//! Changes that occur by themselves need no rule.

use std::collections::BTreeMap;

use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::rules::{Case, Rules};
use crate::model::safe_text;
use crate::report::status::document::ServiceLine;
use crate::report::style::{Paint, Style};

/// Details of each requested service, in addition to its line.
pub type Outlooks = BTreeMap<ServiceName, Outlook>;

/// Denied changes and legal commands of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Denied changes, such as `stopping, by the rule at lcm.yaml:12 until 18:00 Europe/Berlin (renders for clients)`,
    /// one for each rule.
    denied: Vec<String>,
    /// Reason why the service can't be stopped, though its own rules allow it.
    needed: Option<String>,
    /// Legal commands, such as `lcm stop comfyui`.
    commands: Vec<String>,
}

impl Outlook {
    /// Returns the outlook of a service in this state. `needed`: the reason for which its dependents forbid to stop it.
    /// `commands`: the legal ones, as typed after `lcm`.
    #[must_use]
    pub fn new(rules: &Rules, case: &Case<'_>, from: State, needed: Option<String>, commands: &[&str]) -> Self {
        let commands = commands.iter().map(|command| format!("lcm {command} {}", case.service)).collect();
        Self { denied: denied(rules, case, from), needed, commands }
    }
}

/// Returns the denials; changes that one rule denies are in one text.
fn denied(rules: &Rules, case: &Case<'_>, from: State) -> Vec<String> {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for denial in rules.denials(case, from) {
        let terms = format!(", by the rule at {}{}", denial.rule.source, denial.terms());
        match told.iter_mut().find(|(other, _)| *other == terms) {
            Some((_, states)) => states.push(denial.to.as_str()),
            None => told.push((terms, vec![denial.to.as_str()])),
        }
    }
    told.into_iter().map(|(terms, states)| format!("{}{terms}", states.join(", "))).collect()
}

/// Returns the block of one service; its first line has no indent.
pub(super) fn lines(line: &ServiceLine, outlook: &Outlook, style: Style) -> Vec<String> {
    let sure = if line.known { "is" } else { "is presumed" };
    let name = style.paint(Paint::Strong, &line.name.to_string());
    let mut lines = vec![format!("{name} {sure} {}: {}", line.state.label(), meaning(line.state))];
    let mut tell =
        |label: &str, text: &str| lines.push(format!("  {} {}", style.paint(Paint::Dim, label), safe_text::line(text)));
    let since = line.since.map(|since| format!("since {since:.0}"));
    // A hold already shows its time.
    let since = since.filter(|since| !line.reason.contains(since));
    let why: Vec<&str> = [Some(line.reason.as_str()), since.as_deref()].into_iter().flatten().collect();
    tell("why:", &why.join("; "));
    tell("may become:", &or_nothing(&line.next.iter().map(ToString::to_string).collect::<Vec<_>>()));
    for denied in &outlook.denied {
        tell("denied:", denied);
    }
    if let Some(why) = &outlook.needed {
        tell("can't be stopped:", why);
    }
    let commands: Vec<String> = outlook.commands.iter().map(|command| format!("`{command}`")).collect();
    tell("you can:", &or_nothing(&commands));
    lines
}

fn or_nothing(words: &[String]) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// Returns the meaning of a state as it follows a colon.
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

    use super::{Outlook, denied, lines};
    use crate::model::budget::Budget;
    use crate::model::holds::{Hold, HoldRecord};
    use crate::model::lifecycle::State;
    use crate::model::names::ServiceName;
    use crate::model::observed::{ObservedService, Ownership};
    use crate::model::rules::{Case, Hours, Rule, Rules};
    use crate::model::size::Mebibytes;
    use crate::plan::judge_commands::legal_commands;
    use crate::report::fold::folded;
    use crate::report::status::document::{EstimatesLine, ServiceLine};
    use crate::report::style::Style;

    /// Returns a Saturday, at 12:00 in Berlin.
    fn noon() -> Timestamp {
        "2026-11-21T11:00:00Z".parse().expect("a time")
    }

    /// Returns rules: renders are not interrupted before the evening, and a permanent suspension needs a ticket.
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
        // The lifecycle has no change from idle to deployed: the rule's denial of it is not shown.
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
            ram_declared_mib: None,
            ram_measured_mib: None,
            since: Some("2026-11-21T09:30:00.25Z".parse().expect("a time")),
            reason: seen.detail.clone(),
            pid: None,
            container: None,
            job: None,
            url: None,
            copies: None,
            hold: None,
            estimates: EstimatesLine::default(),
            budget: None,
        };
        let commands =
            legal_commands(rules, &case, seen, Budget::Open).into_iter().map(|order| format!("lcm {order} {name}"));
        let outlook = Outlook { denied: denied(rules, &case, seen.state), needed: None, commands: commands.collect() };
        folded(&lines(&line, &outlook, Style::PLAIN).join("\n"), Style { width: Some(80), ..Style::PLAIN })
    }

    #[test]
    fn possible_states_are_shown_with_denied_ones() {
        let text = "\
comfyui is idle: answering, with nothing to do
  why: its health probe passes; since 2026-11-21T09:30:00Z
  may become: online, busy, updating, scaling, error, maintenance
  denied: stopping, offline, by the rule at lcm.yaml:12 until 18:00
    Europe/Berlin (renders for clients)
  denied: suspended, by the rule at lcm.yaml:14 (write a ticket)
  you can: `lcm maintain comfyui`";
        assert_eq!(told(&rules(), &seen(State::Idle)), text);
    }

    #[test]
    fn no_command_is_offered_for_unknown_or_foreign_services() {
        let unknown = ObservedService { unknown: Some("no engine".to_owned()), ..seen(State::Idle) };
        let text = told(&Rules::default(), &unknown);
        assert!(text.starts_with("comfyui is presumed idle: "), "{text}");
        assert!(text.ends_with("you can: nothing"), "{text}");
        let foreign = ObservedService { ownership: Ownership::Foreign { holder: "nginx".to_owned() }, ..unknown };
        assert!(told(&Rules::default(), &ObservedService { unknown: None, ..foreign }).ends_with("you can: nothing"));
    }

    #[test]
    fn a_held_service_is_resumed_before_anything_else() {
        let commands = |state, word| {
            let said =
                HoldRecord { kind: word, by: "kim".to_owned(), since: noon(), reason: None, metadata: [].into() };
            let text = told(&Rules::default(), &ObservedService { hold: Some(Box::new(said)), ..seen(state) });
            text.split_once("you can: ").expect("commands").1.replace(" comfyui", "").replace("\n   ", "")
        };
        assert_eq!(commands(State::Maintenance, Hold::Maintain), "`lcm resume`, `lcm suspend`, `lcm terminate`");
        assert_eq!(commands(State::Terminated, Hold::Terminate), "`lcm resume`, `lcm maintain`, `lcm suspend`");
        // The hold is recorded, and was not carried out yet.
        assert_eq!(commands(State::Online, Hold::Terminate), "`lcm resume`, `lcm stop`, `lcm maintain`, `lcm suspend`");
    }
}
