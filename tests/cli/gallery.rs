//! A gallery of snapshots, and lcm's output on each in each of its formats. A new one is a folder in `tests/gallery`,
//! named by what it shows: `lcm.yaml`, `world.json` as `lcm observe --out` writes it, and, where that is not `plan`,
//! the `command`. `LCM_BLESS=1 cargo test --test cli gallery` updates the goldens; then read the difference.
//!
//! Nothing is redacted: the time of a snapshot is the time in its file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use lcm::manifest::{ModeSelection, load};
use regex_lite::Regex;
use serde_json::Value;
use similar::TextDiff;
use unicode_width::UnicodeWidthStr as _;

use crate::lcm::{Lcm, Ran};
use crate::terminal;

/// Columns of a new terminal window, and of one beside another.
const WIDTHS: [u16; 2] = [80, 60];

/// Maximum length of a snapshot, which people read too.
const WORLD_LINES_MAX: usize = 150;

/// Formats of a plan for other readers; each has tests of its own, here it is rendered for many snapshots.
const FORMS: [(&str, &str); 3] = [("markdown", "plan.md"), ("mermaid", "plan.mmd"), ("html", "plan.html.txt")];

/// The last line of each plan, for scripts: these four are always there, the others where there are any.
const TAIL: &str = r"^Plan: \d+ to stop(, \d+ to (remove|evict|pause|restart|move|unpause))*, \d+ to start, \d+ kept, \d+ blocked(, \d+ held)?(, \d+ orphans?)?\.$";

#[test]
fn every_snapshot_has_its_golden_output_and_follows_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery");
    let entries = fs::read_dir(root).expect("a gallery").map(|entry| entry.expect("an entry").path());
    let worlds: Vec<World> = entries.map(|folder| World { folder, faults: Vec::new() }).collect();
    assert!(worlds.len() >= 15, "{}", worlds.len());
    // Each is a dozen short programs; side by side they take as long as the cores allow.
    let looks: Vec<_> = worlds.into_iter().map(|world| std::thread::spawn(|| world.inspect())).collect();
    let faults: Vec<String> = looks.into_iter().flat_map(|inspection| inspection.join().expect("a look")).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

struct World {
    folder: PathBuf,
    faults: Vec<String>,
}

impl World {
    fn inspect(mut self) -> Vec<String> {
        let lines = self.read("world.json").lines().count();
        self.holds(lines <= WORLD_LINES_MAX, &format!("world.json has {lines} lines"));
        let command = self.command();
        self.text(&command);
        if command[0] == "plan" {
            self.plan(&command);
        }
        for (format, file) in [("text", "status.txt"), ("json", "status.json")] {
            let status = self.run(&["status", "--format", format]).code(0);
            self.golden(file, &status.stdout);
        }
        self.faults
    }

    /// Checks the output for people: in a pipe, and at terminals, painted or not.
    fn text(&mut self, command: &[&str]) {
        self.golden("plan.txt", &self.run(command).stdout);
        for width in WIDTHS {
            let at = |color| self.shown(&[command, &["--color", color]].concat(), width);
            let (plain, painted) = (at("never"), at("always"));
            let paint = Regex::new("\u{1b}\\[[0-9;]+m").expect("a pattern");
            let washed = paint.replace_all(&painted, "").into_owned();
            self.holds(washed == plain, "paint is more or less than decoration");
            // A word that is wider than the terminal can't be broken.
            let is_wide = |line: &&str| line.width() > usize::from(width) && line.trim().contains(' ');
            let wide: Vec<&str> = plain.lines().filter(is_wide).collect();
            self.holds(wide.is_empty(), &format!("wider than {width}: {wide:#?}"));
            self.golden(&format!("plan-{width}.txt"), &plain);
        }
    }

    /// Checks the plan for programs, and that the text agrees with it.
    fn plan(&mut self, command: &[&str]) {
        let with = |more: &[&str]| self.run(&[command, more].concat());
        let said = with(&["--format", "json"]);
        let (again, detailed, whole) = (with(&["--format", "json"]), with(&["--detailed-exitcode"]), with(&["-v"]));
        let plan = said.json();
        self.holds(said.stdout == again.stdout, "planning twice gives two plans");
        let is_blocked = list(&plan, "blocked").next().is_some();
        // A service with a spent budget has failed, which precedes a blocked one.
        let is_of_budget =
            |held: &Value| held["reason"]["code"] == "budget_spent" || held["reason"]["code"] == "backoff";
        let is_spent = list(&plan, "held").any(is_of_budget);
        let [code, detailed_code] = match (is_spent, is_blocked, plan["changes"] == true) {
            (true, _, _) => [3, 3],
            (false, true, _) => [4, 4],
            (false, false, true) => [0, 2],
            (false, false, false) => [0, 0],
        };
        self.holds(said.exit() == Some(code), &format!("it ends with {:?}", said.exit()));
        self.holds(detailed.exit() == Some(detailed_code), &format!("in detail it ends with {:?}", detailed.exit()));
        self.golden("plan.json", &said.stdout);
        for (format, file) in FORMS {
            let shown = self.run(&[command, &["--format", format]].concat()).stdout;
            self.golden(file, &if format == "html" { words_of(&shown) } else { shown });
        }

        let told: BTreeSet<&str> =
            ["steps", "kept", "blocked", "held"].into_iter().flat_map(|what| list(&plan, what)).map(service).collect();
        for name in self.services() {
            self.holds(told.contains(name.as_str()), &format!("the JSON lacks {name}"));
            self.holds(whole.stdout.contains(&name), &format!("the text with -v lacks {name}"));
        }
        self.counts(&plan, &whole.stdout);
    }

    /// Checks that each service is counted once, under its word in the JSON.
    fn counts(&mut self, plan: &Value, text: &str) {
        let last = text.lines().last().unwrap_or_default();
        self.holds(Regex::new(TAIL).expect("a pattern").is_match(last), &format!("the last line is {last:?}"));
        let count = |word: &str| {
            let counted = Regex::new(&format!(r"(\d+) {word}\b")).expect("a pattern");
            counted.captures_iter(last).filter_map(|found| found[1].parse::<usize>().ok()).sum::<usize>()
        };
        let changed: BTreeSet<&str> = list(plan, "steps").map(service).collect();
        self.holds(count("to") == changed.len(), &format!("{} services have steps: {last}", changed.len()));
        for word in ["kept", "blocked", "held"] {
            let listed = list(plan, word).count();
            self.holds(count(word) == listed, &format!("{listed} are {word}: {last}"));
        }
    }

    fn command(&self) -> Vec<&'static str> {
        let command = fs::read_to_string(self.folder.join("command")).unwrap_or_else(|_| "plan".to_owned());
        // Leaked: a few short texts for the whole test.
        command.leak().split_whitespace().collect()
    }

    /// Returns lcm in a copy of the folder: some commands change the snapshot.
    fn lcm(&self, words: &[&str]) -> (tempfile::TempDir, Lcm) {
        let copy = tempfile::tempdir().expect("a temporary folder");
        for file in ["lcm.yaml", "world.json"] {
            fs::copy(self.folder.join(file), copy.path().join(file)).expect("a copy");
        }
        let lcm = Lcm::new(copy.path()).args(words).simulated();
        (copy, lcm)
    }

    fn run(&self, words: &[&str]) -> Ran {
        let (_copy, lcm) = self.lcm(words);
        lcm.run()
    }

    fn shown(&self, words: &[&str], width: u16) -> String {
        let (_copy, lcm) = self.lcm(words);
        terminal::shown(lcm.command(), width).1
    }

    fn services(&self) -> Vec<String> {
        let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
        let desired = load(&self.folder.join("lcm.yaml"), &BTreeMap::new(), &choice);
        let desired = desired.unwrap_or_else(|problems| panic!("{problems}"));
        desired.services.keys().map(ToString::to_string).collect()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    fn golden(&mut self, file: &str, found: &str) {
        if std::env::var_os("LCM_BLESS").is_some_and(|bless| bless == "1") {
            fs::write(self.folder.join(file), found).expect("written");
        }
        let wanted = self.read(file);
        let diff = TextDiff::from_lines(&wanted, found);
        self.holds(found == wanted, &format!("{file} differs:\n{}", diff.unified_diff().context_radius(2)));
    }

    fn holds(&mut self, holds: bool, else_said: &str) {
        if !holds {
            self.faults.push(format!("{}: {else_said}", self.folder.display()));
        }
    }
}

/// Returns the text of a page, one piece a line: its layout has tests of its own, and would be most of this gallery.
fn words_of(page: &str) -> String {
    let without = |text: &str, pattern: &str, instead: &str| {
        Regex::new(pattern).expect("a pattern").replace_all(text, instead).into_owned()
    };
    let page = without(page, r"(?s)<(style|script)\b.*?</(style|script)>", "");
    let page = without(&page, r"(?s)<[^>]*>", "\n");
    let lines = page.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn list<'a>(plan: &'a Value, what: &str) -> impl Iterator<Item = &'a Value> {
    plan[what].as_array().into_iter().flatten()
}

fn service(line: &Value) -> &str {
    line["service"].as_str().unwrap_or_default()
}
