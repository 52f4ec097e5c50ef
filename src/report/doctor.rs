//! Report of `lcm doctor`: one line for each check with its level in words, and below it the ways to repair it. The
//! JSON is `lcm.doctor/1`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::doctor::{CheckLevel, MachineCheck};
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};

/// Version of the JSON.
pub const FORMAT: &str = "lcm.doctor/1";

/// Columns before a help: those of the level and the gap after it.
const HELP_INDENT: usize = 6;

/// Checks of what this machine lets lcm do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DoctorReport {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    /// Manifest whose demands the checks count; `null`: none was found, and the checks are those of the machine alone.
    pub manifest: Option<String>,
    /// True if no check failed; then `lcm doctor` exits 0, otherwise 1.
    pub passed: bool,
    /// Checks in the order in which people repair what they find.
    pub checks: Vec<MachineCheck>,
}

impl DoctorReport {
    #[must_use]
    pub fn new(manifest: Option<String>, checks: Vec<MachineCheck>) -> Self {
        let passed = checks.iter().all(|check| check.level != CheckLevel::Fail);
        Self { format: FORMAT.to_owned(), manifest, passed, checks }
    }
}

/// Renders the report for people.
#[must_use]
pub fn text(report: &DoctorReport, style: Style) -> Output {
    let rows: Vec<Vec<Cell>> = report
        .checks
        .iter()
        .map(|check| {
            let level = Cell::new(format!("{:4}", check.level.as_str())).paint(paint(check.level));
            vec![level, Cell::new(check.check.replace('_', " ")), Cell::new(&check.found)]
        })
        .collect();
    let mut sheet = Sheet::new();
    for (line, check) in table::lines(&rows, style).into_iter().zip(&report.checks) {
        sheet.line(line);
        sheet.block(HELP_INDENT, check.help.iter().map(|help| format!("help: {help}")));
    }
    sheet.gap().line(summary(report, style));
    sheet.output(style)
}

fn summary(report: &DoctorReport, style: Style) -> String {
    let count = |level: CheckLevel| report.checks.iter().filter(|check| check.level == level).count();
    let counts = [CheckLevel::Ok, CheckLevel::Warn, CheckLevel::Fail, CheckLevel::Skip]
        .map(|level| format!("{} {}", count(level), level.as_str()));
    let subject = report.manifest.as_ref().map_or_else(
        || "no manifest here, so the machine alone was checked".to_owned(),
        |manifest| format!("checked for {manifest}"),
    );
    let head = if report.passed { style.paint(Paint::Good, "Ready") } else { style.paint(Paint::Bad, "Not ready") };
    format!("{head}: {} ({subject})", counts.join(", "))
}

fn paint(level: CheckLevel) -> Paint {
    match level {
        CheckLevel::Ok => Paint::Good,
        CheckLevel::Warn => Paint::Warn,
        CheckLevel::Fail => Paint::Bad,
        CheckLevel::Skip => Paint::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::{DoctorReport, text};
    use crate::model::doctor::MachineCheck;
    use crate::report::style::Style;

    #[test]
    fn each_check_is_a_line_with_its_level_in_words_and_its_help_below() {
        let checks = vec![
            MachineCheck::ok("lock", "/run/lock/lcm.lock is free"),
            MachineCheck::fail("state_folder", "/s is\nfail  forged").help("chmod go-w /s").help("or\u{1b}[2J another"),
            MachineCheck::skip("gpu_driver", "no GPU found"),
        ];
        let report = DoctorReport::new(Some("lcm.yaml".to_owned()), checks);
        assert!(!report.passed);
        let expected = "\
ok    lock          /run/lock/lcm.lock is free
fail  state folder  /s is fail  forged
      help: chmod go-w /s
      help: or another
skip  gpu driver    no GPU found

Not ready: 1 ok, 0 warn, 1 fail, 1 skip (checked for lcm.yaml)
";
        assert_eq!(text(&report, Style::PLAIN).to_string(), expected);
        let alone = DoctorReport::new(None, vec![MachineCheck::warn("clock", "x")]);
        assert!(alone.passed, "a warning is no failure");
        let shown = text(&alone, Style::PLAIN).to_string();
        assert!(
            shown.ends_with(
                "Ready: 0 ok, 1 warn, 0 fail, 0 skip (no manifest here, so the machine alone was checked)\n"
            )
        );
    }
}
