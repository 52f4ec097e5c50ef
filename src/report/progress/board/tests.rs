//! Shown steps, the summary of the others, and a terminal with exactly these lines.

use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use jiff::Timestamp;

use super::Board;
use crate::model::event::{EventKind, Outcome, Stage};
use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::report::bottom::Bottom;
use crate::report::fold::columns;
use crate::report::print::TerminalSize;
use crate::report::style::Style;

#[path = "../../../../tests/support/reflow.rs"]
mod reflow;

const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// Returns the text sent to a terminal to replace the earlier lines by these.
fn redrawn(before: &[String], after: &[String], size: TerminalSize) -> String {
    let sent: Arc<Mutex<String>> = Arc::default();
    // They were drawn where they fit.
    let asked = Arc::new(Mutex::new(TerminalSize { rows: 1000, columns: 1000 }));
    let (into, of) = (Arc::clone(&sent), Arc::clone(&asked));
    let bottom = Bottom::on(move |text| into.lock().expect("sound").push_str(text), move || *of.lock().expect("sound"));
    if !before.is_empty() {
        bottom.draw(before);
        sent.lock().expect("sound").clear();
    }
    *asked.lock().expect("sound") = size;
    if after.is_empty() {
        bottom.clear();
    } else {
        bottom.draw(after);
    }
    // Read before the drop, which removes the lines.
    std::mem::take(&mut *sent.lock().expect("sound"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn service(number: usize) -> String {
    format!("svc-{number:02}")
}

fn id(action: Action, number: usize) -> StepId {
    StepId::new(format!("{action}:{}", service(number)))
}

fn planned(steps: impl IntoIterator<Item = StepId>) -> EventKind {
    EventKind::Planned { round: 1, steps: steps.into_iter().collect() }
}

fn started(action: Action, number: usize, estimate_ms: Option<u64>) -> EventKind {
    EventKind::StepStarted { step: id(action, number), service: service(number).as_str().into(), action, estimate_ms }
}

fn stage(action: Action, number: usize, stage: Stage, detail: Option<&str>) -> EventKind {
    let (service, detail) = (service(number).as_str().into(), detail.map(ToOwned::to_owned));
    EventKind::Stage { step: id(action, number), service, stage, detail }
}

fn done(action: Action, number: usize) -> EventKind {
    let service = service(number).as_str().into();
    EventKind::StepDone { step: id(action, number), service, outcome: Outcome::Done, took_ms: 1, stages: Vec::new() }
}

/// Returns a board with stops of the first few services, and starts of the rest.
fn forty() -> Board {
    let mut board = Board::default();
    let starts = (0..40).map(|number| id(Action::Start, number));
    board.update(&planned((40..45).map(|number| id(Action::Stop, number)).chain(starts)), at(0));
    for number in 0..29 {
        board.update(
            &started(Action::Start, number, (number % 2 == 0).then_some(95_000)),
            at(i64::try_from(number).expect("few")),
        );
        board.update(&stage(Action::Start, number, Stage::Health, (number == 3).then_some("loads its model")), at(30));
    }
    board.update(&started(Action::Stop, 40, None), at(30));
    board
}

#[test]
fn a_rollout_shows_its_copies_as_they_start() {
    let mut board = Board::default();
    board.update(&planned([id(Action::Scale, 1), id(Action::Update, 2)]), at(0));
    board.update(&started(Action::Scale, 1, None), at(1));
    board.update(&stage(Action::Scale, 1, Stage::Health, Some("1 of 3 copies ready, 1 updated")), at(2));
    board.update(&started(Action::Update, 2, None), at(2));
    board.update(&stage(Action::Update, 2, Stage::Health, Some("2 of 2 copies ready, 1 updated")), at(3));
    assert_snapshot!(board.lines(at(4), SIZE, Style::PLAIN).join("\n"));
}

#[test]
fn forty_steps_stay_readable_on_a_usual_terminal() {
    let mut board = forty();
    assert_snapshot!(board.lines(at(42), SIZE, Style::PLAIN).join("\n"));
    // The next step moves up, and no other changes its place.
    let before = board.lines(at(42), SIZE, Style::PLAIN);
    board.update(&done(Action::Start, 1), at(42));
    let after = board.lines(at(42), SIZE, Style::PLAIN);
    let names = |lines: &[String]| {
        lines.iter().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (before, after) = (names(&before), names(&after));
    assert_eq!(before[..1], after[..1]);
    assert_eq!(before[2..15], after[1..14]);
}

#[test]
fn the_summary_of_the_others_stays_right_until_none_is_left() {
    let mut board = forty();
    let last = |board: &Board| board.lines(at(42), SIZE, Style::PLAIN).pop().unwrap_or_default();
    assert_eq!(last(&board), "… and 30 more: 14 starting, 1 stopping, 15 waiting");
    board.update(&done(Action::Stop, 40), at(42));
    board.update(
        &EventKind::StepSkipped {
            step: id(Action::Start, 39),
            service: service(39).as_str().into(),
            reason: "it needs another".to_owned(),
        },
        at(42),
    );
    assert_eq!(last(&board), "… and 28 more: 14 starting, 14 waiting");
    for number in 0..15 {
        board.update(&done(Action::Start, number), at(43));
    }
    assert_eq!(last(&board), "… and 14 waiting");
    for number in 15..39 {
        board.update(&done(Action::Start, number), at(43));
    }
    for number in 41..45 {
        board.update(&done(Action::Stop, number), at(43));
    }
    assert_eq!(board.lines(at(44), SIZE, Style::PLAIN), [""; 0]);
}

#[test]
fn a_preparation_is_shown_while_it_lasts() {
    let mut board = Board::default();
    board.update(&stage(Action::Start, 1, Stage::Prepare, None), at(0));
    board.update(&stage(Action::Start, 2, Stage::Prepare, None), at(1));
    let prepared = EventKind::Prepared { step: id(Action::Start, 1), service: "svc-01".into(), took_ms: 2_000 };
    board.update(&prepared, at(2));
    assert_eq!(board.lines(at(2), SIZE, Style::PLAIN), ["⠇ start svc-02  prepare  1s"]);
}

#[test]
fn no_terminal_is_too_small_and_no_line_wraps() {
    let mut board = forty();
    board.update(
        &stage(Action::Start, 0, Stage::Health, Some("模型加载中 🦀 60% of a very long answer, and more")),
        at(40),
    );
    for rows in [1, 2, 3, 5, 24, 100] {
        for width in [1, 2, 8, 20, 40, 63, 64, 80, 200] {
            let lines =
                board.lines(at(42), TerminalSize { rows, columns: width }, Style { colored: true, ..Style::PLAIN });
            assert!(!lines.is_empty() && lines.len() <= (rows * 2 / 3).max(1), "{} of {rows}", lines.len());
            assert!(lines.iter().all(|line| columns(line) < width), "{width}: {lines:#?}");
        }
    }
    let small = TerminalSize { rows: 5, columns: 40 };
    assert_eq!(
        board.lines(at(42), small, Style::PLAIN),
        [
            "⠋ start svc-00  health  42s of about 9…",
            "⠙ start svc-01  health  41s",
            "… and 43 more: 27 starting, 1 stopping…"
        ]
    );
}

/// Returns the terminal's contents after all these texts, and the place of its cursor.
fn screen(size: TerminalSize, drawn: &[(&str, Vec<String>)]) -> (String, (u16, u16)) {
    let number = |count: usize| u16::try_from(count).expect("a small terminal");
    let mut terminal = vt100::Parser::new(number(size.rows), number(size.columns), 0);
    let mut before: Vec<String> = Vec::new();
    for (said, lines) in drawn {
        terminal.process(redrawn(&before, &[], size).as_bytes());
        terminal.process(said.replace('\n', "\r\n").as_bytes());
        terminal.process(redrawn(&[], lines, size).as_bytes());
        before.clone_from(lines);
    }
    let screen = terminal.screen();
    assert!(!screen.hide_cursor());
    (screen.contents(), screen.cursor_position())
}

#[test]
fn a_terminal_shows_what_stays_above_what_moves() {
    let mut board = forty();
    let frame = |board: &Board, second| board.lines(at(second), SIZE, Style { colored: true, ..Style::PLAIN });
    let mut drawn = vec![("$ lcm apply\n", frame(&board, 42))];
    for second in 43..50 {
        drawn.push(("", frame(&board, second)));
    }
    board.update(&done(Action::Start, 1), at(50));
    drawn.push(("✓ start svc-01: done in 49.0 s\n", frame(&board, 50)));
    let (shown, _) = screen(SIZE, &drawn);
    assert_snapshot!(shown);
    drawn.push(("Interrupted\n", Vec::new()));
    let (shown, cursor) = screen(SIZE, &drawn);
    assert_eq!(shown, "$ lcm apply\n✓ start svc-01: done in 49.0 s\nInterrupted");
    assert_eq!(cursor, (3, 0), "at the beginning of an empty line");
}

#[test]
fn lines_that_a_narrower_terminal_has_broken_are_taken_away_whole() {
    let lines = vec!["x".repeat(60), "y".repeat(10)];
    let narrow = TerminalSize { rows: 24, columns: 40 };
    // Terminals that rewrap lines: the first line takes two rows now.
    let mut terminal = vt100::Parser::new(24, 40, 0);
    terminal.process(redrawn(&[], &["kept".to_owned()], narrow).as_bytes());
    terminal.process(redrawn(&[], &lines, narrow).as_bytes());
    terminal.process(redrawn(&lines, &["z".to_owned()], narrow).as_bytes());
    assert_eq!(terminal.screen().contents(), "kept\nz");
}

#[test]
fn a_terminal_that_is_resized_while_steps_run_keeps_no_torn_line() {
    let mut few = Board::default();
    for number in 0..3 {
        few.update(&started(Action::Start, number, Some(95_000)), at(0));
        few.update(&stage(Action::Start, number, Stage::Health, Some("loads its model, 60% of 12 GiB")), at(1));
    }
    for (board, is_kept) in [(few, true), (forty(), false)] {
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(b"$ lcm apply\r\n");
        let mut before = Vec::new();
        for (second, columns) in (42..).zip([80_u16, 40, 80, 20, 63, 120, 30, 79, 200]) {
            // The terminal changes between two drawings, and lcm sees it with the next one.
            terminal = reflow::resized(&terminal, 24, columns);
            let size = TerminalSize { rows: 24, columns: columns.into() };
            let lines = board.lines(at(second), size, Style::PLAIN);
            terminal.process(redrawn(&before, &lines, size).as_bytes());
            let screen = terminal.screen();
            let drawn: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
            let shown = screen.contents();
            let stand: Vec<&str> = shown.lines().filter(|line| !line.starts_with('$')).collect();
            assert_eq!(stand, drawn, "{columns} columns");
            assert!(!is_kept || shown.starts_with("$ lcm apply\n"), "{shown}");
            assert!(!screen.hide_cursor() && screen.cursor_position().1 == 0, "{shown}");
            before = lines;
        }
        terminal.process(redrawn(&before, &[], TerminalSize { rows: 24, columns: 200 }).as_bytes());
        assert_eq!(terminal.screen().contents().trim_start_matches("$ lcm apply"), "", "nothing is left");
    }
}
