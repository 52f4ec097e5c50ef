//! Modes of a manifest: the document `lcm.modes/1`, and the same for people.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::desired::{Desired, Mode, ModeSource, Others};
use crate::model::holds::ModeOverride;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, ModeName, ProjectName, ServiceName};
use crate::model::safe_text;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::status::{HoldLine, needed};
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, elapsed, joined};

/// Version of the JSON.
pub const FORMAT: &str = "lcm.modes/1";

/// Indent of the block of modes, in columns.
const BLOCK_INDENT: usize = 2;
/// Indent of the lines below a mode's name.
const DETAIL_INDENT: usize = 6;

/// Modes of a manifest, and those that are active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Modes {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub project: ProjectName,
    /// Active mode; the names of several modes are sorted and joined by `+`. `null` if the manifest has no modes, or
    /// none is selected.
    pub mode: Option<ModeSet>,
    /// Names of the active modes.
    pub active: Vec<ModeName>,
    /// Origin of the selection; `null` if no mode is active.
    pub source: Option<Selection>,
    /// Mode override (`lcm switch`) that is in force; absent if the manifest or the command line selects the mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switched: Option<HoldLine>,
    /// All modes of the manifest, sorted by name; none if the manifest has no modes: then every service is wanted.
    pub modes: Vec<ModeLine>,
}

/// Origin of the active mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// `mode:` of the entry file.
    Manifest,
    /// `--mode`.
    CommandLine,
    /// `lcm switch`.
    Switch,
}

/// One mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModeLine {
    pub name: ModeName,
    pub description: Option<String>,
    pub active: bool,
    /// Services that the mode names.
    pub services: BTreeSet<ServiceName>,
    /// Goals that the mode activates.
    pub goals: BTreeSet<GoalName>,
    /// All services that run in the mode: those that it names, those of its goals, and all their dependencies.
    pub wanted: BTreeSet<ServiceName>,
    /// Services that must be off in the mode.
    pub stop: BTreeSet<ServiceName>,
    /// Handling of other running services: `stop` or `keep`.
    pub others: String,
}

impl Modes {
    /// Creates the document. `switched`: the mode override that is in force.
    #[must_use]
    pub fn of(desired: &Desired, switched: Option<&ModeOverride>) -> Self {
        let active = |name: &ModeName| desired.mode.as_ref().is_some_and(|active| active.contains(name));
        let source = desired.mode.as_ref().map(|_| match desired.mode_source {
            ModeSource::Manifest => Selection::Manifest,
            ModeSource::CommandLine => Selection::CommandLine,
            ModeSource::Override => Selection::Switch,
        });
        Self {
            format: FORMAT.to_owned(),
            project: desired.project.clone(),
            mode: desired.mode.clone(),
            active: ModeSet::names(desired.mode.as_ref()),
            source,
            switched: switched.map(HoldLine::of_switch),
            modes: desired.modes.iter().map(|(name, mode)| line(desired, (name, mode), active(name))).collect(),
        }
    }
}

fn line(desired: &Desired, (name, mode): (&ModeName, &Mode), active: bool) -> ModeLine {
    ModeLine {
        name: name.clone(),
        description: mode.description.clone(),
        active,
        services: mode.services.clone(),
        goals: mode.goals.clone(),
        wanted: wanted(desired, mode),
        stop: mode.stop.clone(),
        others: match mode.others {
            Others::Stop => "stop".to_owned(),
            Others::Keep => "keep".to_owned(),
        },
    }
}

/// Returns the services of a mode and of its goals, with all their dependencies.
fn wanted(desired: &Desired, mode: &Mode) -> BTreeSet<ServiceName> {
    let goals = mode.goals.iter().filter_map(|goal| desired.goals.get(goal));
    let by_goals = goals.flat_map(|goal| needed(desired, goal));
    let mut open: Vec<ServiceName> = mode.services.iter().cloned().chain(by_goals).collect();
    let mut wanted = BTreeSet::new();
    // Each service is expanded once.
    while let Some(name) = open.pop() {
        let bases = desired.services.get(&name).into_iter().flat_map(|service| service.depends_on.keys());
        let bases: Vec<ServiceName> = bases.cloned().collect();
        if wanted.insert(name) {
            open.extend(bases);
        }
    }
    wanted
}

/// Renders the modes for people. `now`: for the age of a switch. `all`: the services of the manifest.
#[must_use]
pub fn text(modes: &Modes, all: &BTreeSet<ServiceName>, now: Timestamp, style: Style) -> Output {
    let mut sheet = Sheet::new();
    let head = format!("lcm modes · {}{}", modes.project, selection(modes, now));
    sheet.line(style.paint(Paint::Strong, &head));
    if modes.modes.is_empty() {
        let services = if all.is_empty() { String::new() } else { format!(" ({})", listed(all)) };
        sheet.gap().line(format!("The manifest has no modes, so every service is wanted{services}."));
        return sheet.output(style);
    }
    sheet.gap();
    let rows: Vec<Vec<Cell>> = modes.modes.iter().map(row).collect();
    for (title, mode) in table::lines(&rows, style).into_iter().zip(&modes.modes) {
        sheet.block(BLOCK_INDENT, [title]).block(DETAIL_INDENT, details(mode));
    }
    if modes.mode.is_none() {
        sheet.gap().line(
            "No mode is active: select one with `lcm switch MODE`, with `--mode`, or by `mode:` in the manifest.",
        );
    }
    sheet.output(style)
}

/// Returns ` · mode video (switched to by kim 2h 03m ago, reason: rendering)`.
fn selection(modes: &Modes, now: Timestamp) -> String {
    let Some(mode) = &modes.mode else { return String::new() };
    let why = match (modes.source, &modes.switched) {
        (Some(Selection::CommandLine), _) => "command line".to_owned(),
        (Some(Selection::Switch), Some(HoldLine { by, since, reason, .. })) => {
            let reason = reason.as_ref().map(|reason| format!(", reason: {reason}")).unwrap_or_default();
            format!("switched to by {by} {} ago{reason}", elapsed(*since, now))
        }
        (Some(Selection::Switch), None) => "switched".to_owned(),
        (Some(Selection::Manifest) | None, _) => "manifest".to_owned(),
    };
    format!(" · mode {mode} ({})", safe_text::line(&why))
}

fn row(mode: &ModeLine) -> Vec<Cell> {
    let active = if mode.active { "active" } else { "" };
    vec![
        Cell::new(mode.name.to_string()).paint(Paint::Strong),
        Cell::new(active).paint(Paint::Good),
        Cell::new(mode.description.as_deref().unwrap_or_default()),
    ]
}

fn details(mode: &ModeLine) -> Vec<String> {
    let mut parts = Vec::new();
    if !mode.services.is_empty() || mode.goals.is_empty() {
        parts.push(format!("services: {}", listed(&mode.services)));
    }
    if !mode.goals.is_empty() {
        parts.push(format!("goals: {}", listed(&mode.goals)));
    }
    let more: BTreeSet<&ServiceName> = mode.wanted.difference(&mode.services).collect();
    if !more.is_empty() {
        parts.push(format!("also needed: {}", listed(&more)));
    }
    if !mode.stop.is_empty() {
        parts.push(format!("stopped: {}", listed(&mode.stop)));
    }
    let others = if mode.others == "keep" { "others: keep running" } else { "others: stopped" };
    parts.push(others.to_owned());
    parts
}

fn listed<T: ToString>(names: &BTreeSet<T>) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { joined(&names) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::{Modes, text};
    use crate::model::desired::{Desired, Goal, Mode, ModeSource, Others};
    use crate::model::holds::ModeOverride;
    use crate::report::style::Style;

    fn desired() -> Desired {
        let mode = |services: &[&str], goals: &[&str], others| Mode {
            description: None,
            services: services.iter().map(|name| (*name).into()).collect(),
            goals: goals.iter().map(|name| (*name).into()).collect(),
            stop: BTreeSet::new(),
            others,
        };
        let narrate = Goal { description: None, services: ["tts".into()].into(), phases: BTreeSet::new(), priority: 1 };
        let video = Mode {
            description: Some("Render \u{1b}[2Jvideo".to_owned()),
            stop: ["ollama".into()].into(),
            ..mode(&["comfyui", "vidi"], &[], Others::Stop)
        };
        Desired {
            mode: Some("video+voice".into()),
            mode_source: ModeSource::Override,
            modes: [
                ("video".into(), video),
                ("voice".into(), mode(&[], &["narrate"], Others::Keep)),
                ("idle".into(), mode(&[], &[], Others::Stop)),
            ]
            .into(),
            goals: [("narrate".into(), narrate)].into(),
            ..Desired::plain("studio".into(), [])
        }
    }

    fn switched() -> ModeOverride {
        ModeOverride {
            mode: "video+voice".into(),
            entry: "/x/lcm.yaml".to_owned(),
            own_mode: None,
            by: "kim\u{7}".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            reason: Some("rendering".to_owned()),
        }
    }

    #[test]
    fn modes_are_listed_and_the_active_ones_marked_with_the_reason() {
        let modes = Modes::of(&desired(), Some(&switched()));
        let now: Timestamp = "1970-01-01T03:07:00Z".parse().expect("a time");
        let wanted = "\
lcm modes · studio · mode video+voice (switched to by kim 3h 07m ago, reason: rendering)

  idle
      services: none
      others: stopped
  video  active  Render video
      services: comfyui and vidi
      stopped: ollama
      others: stopped
  voice  active
      goals: narrate
      also needed: tts
      others: keep running
";
        assert_eq!(text(&modes, &BTreeSet::new(), now, Style::PLAIN).unpainted(), wanted);
        let json = serde_json::to_value(&modes).expect("JSON");
        assert_eq!((&json["mode"], &json["source"]), (&"video+voice".into(), &"switch".into()));
        assert_eq!(json["active"], serde_json::json!(["video", "voice"]));
        assert_eq!(json["modes"][2]["wanted"], serde_json::json!(["tts"]));
    }

    #[test]
    fn a_manifest_without_modes_or_without_an_active_one_says_so() {
        let plain = Desired::plain("studio".into(), []);
        let shown = |desired: &Desired, all: &[&str]| {
            let all = all.iter().map(|name| (*name).into()).collect();
            text(&Modes::of(desired, None), &all, Timestamp::UNIX_EPOCH, Style::PLAIN).unpainted()
        };
        let none = "lcm modes · studio\n\nThe manifest has no modes, so every service is wanted (a and b).\n";
        assert_eq!(shown(&plain, &["a", "b"]), none);
        let open = Desired { mode: None, ..desired() };
        assert!(shown(&open, &[]).ends_with(
            "No mode is active: select one with `lcm switch MODE`, with `--mode`, or by `mode:` in the manifest.\n"
        ));
        assert!(!shown(&open, &[]).contains("  active"));
    }
}
