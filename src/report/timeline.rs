//! Begin and end of each step if each takes its estimated time, and the memory on each GPU meanwhile: one course of
//! many, for pictures. Nothing is decided by it.
//!
//! A step begins when the last of its needs has ended; the limit on parallel steps is ignored.

use std::collections::{BTreeMap, VecDeque};

use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::model::plan::{Plan, Step};
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;
use crate::report::view::memory::memory_rows;

/// Duration drawn for a step without an estimate, in milliseconds: a start loads a model, the others do not.
pub(super) const START_DRAWN_MS: u64 = 20_000;
pub(super) const OTHER_DRAWN_MS: u64 = 5_000;

/// Course of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// Spans of the steps, in the plan's order.
    pub(super) spans: Vec<StepSpan>,
    /// End of the last step, in milliseconds.
    pub(super) end_ms: u64,
    /// From each step to those that wait for it, by position.
    pub(super) edges: Vec<(usize, usize)>,
    /// Memory levels of the GPUs, in the plan's order, and of the host.
    pub(super) gpus: Vec<Vec<MemoryLevel>>,
}

/// Begin and end of a step, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepSpan {
    pub(super) begin_ms: u64,
    pub(super) end_ms: u64,
    /// True if the duration is an estimate from earlier runs; else it is a default.
    pub(super) is_estimated: bool,
}

/// Memory on a GPU during a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLevel {
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    pub(super) used: Mebibytes,
}

#[must_use]
pub(super) fn timeline(plan: &Plan) -> Timeline {
    let edges = edges(plan);
    let spans = spans(&plan.steps, &edges);
    let end_ms = spans.iter().map(|span| span.end_ms).max().unwrap_or(0);
    let rows = memory_rows(plan).into_iter();
    let gpus = rows.map(|row| levels(plan, &spans, end_ms, row.pool, row.line.before_mib)).collect();
    Timeline { spans, end_ms, edges, gpus }
}

/// Returns the edges from each need to the step that waits for it, by position. A need that the plan lacks is left out.
pub(super) fn edges(plan: &Plan) -> Vec<(usize, usize)> {
    let steps = || plan.steps.iter().enumerate();
    let positions: BTreeMap<&StepId, usize> = steps().map(|(position, step)| (&step.id, position)).collect();
    let needs = |(to, step): (usize, &Step)| {
        let from = step.needs.iter().filter_map(|need| positions.get(need).copied());
        from.map(|from| (from, to)).collect::<Vec<_>>()
    };
    steps().flat_map(needs).collect()
}

fn spans(steps: &[Step], edges: &[(usize, usize)]) -> Vec<StepSpan> {
    let took = |step: &Step| step.estimate_ms.unwrap_or_else(|| drawn_ms(step.action));
    // A plan of lcm's own has no cycle. In a foreign file, a step that waits for itself begins at once.
    let mut spans: Vec<StepSpan> = steps
        .iter()
        .map(|step| StepSpan { begin_ms: 0, end_ms: took(step), is_estimated: step.estimate_ms.is_some() })
        .collect();
    let (mut waiting, mut after) = (vec![0_usize; steps.len()], vec![Vec::new(); steps.len()]);
    for (from, to) in edges {
        waiting[*to] += 1;
        after[*from].push(*to);
    }
    let mut ready: VecDeque<usize> = (0..steps.len()).filter(|step| waiting[*step] == 0).collect();
    // Terminates: each step becomes ready once.
    while let Some(step) = ready.pop_front() {
        let end_ms = spans[step].end_ms;
        for next in &after[step] {
            if end_ms > spans[*next].begin_ms {
                (spans[*next].begin_ms, spans[*next].end_ms) = (end_ms, end_ms.saturating_add(took(&steps[*next])));
            }
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push_back(*next);
            }
        }
    }
    spans
}

fn drawn_ms(action: Action) -> u64 {
    match action {
        Action::Start | Action::Wake => START_DRAWN_MS,
        Action::Evict
        | Action::Stop
        | Action::Remove
        | Action::Pause
        | Action::Unpause
        | Action::Update
        | Action::Scale => OTHER_DRAWN_MS,
    }
}

/// Returns the memory levels. A step takes memory when it begins, and frees memory when it ends.
fn levels(plan: &Plan, spans: &[StepSpan], end_ms: u64, pool: MemoryPool<'_>, before: Mebibytes) -> Vec<MemoryLevel> {
    let mut changes: BTreeMap<u64, (Mebibytes, Mebibytes)> = BTreeMap::new();
    for (step, span) in plan.steps.iter().zip(spans) {
        changes.entry(span.begin_ms).or_default().1 += step.takes_from(pool);
        changes.entry(span.end_ms).or_default().0 += step.frees_in(pool);
    }
    let mut levels = vec![MemoryLevel { from_ms: 0, until_ms: end_ms, used: before }];
    for (at, (freed, taken)) in changes {
        let last = levels.len() - 1;
        // Memory freed at a moment is available to steps that begin at it.
        let used = (levels[last].used - freed) + taken;
        if used != levels[last].used {
            levels[last].until_ms = at;
            levels.push(MemoryLevel { from_ms: at, until_ms: end_ms, used });
        }
    }
    // A level without duration is dropped; but the last one stays, because it is the plan's result.
    let last = levels.len() - 1;
    let lasts = |(at, level): &(usize, MemoryLevel)| *at == last || level.from_ms < level.until_ms;
    levels.into_iter().enumerate().filter(lasts).map(|(_, level)| level).collect()
}

#[cfg(test)]
mod tests {
    use super::{MemoryLevel, OTHER_DRAWN_MS, START_DRAWN_MS, StepSpan, timeline};
    use crate::model::lifecycle::{Action, State};
    use crate::model::plan::{GpuLine, Plan, ReasonCode, Step};
    use crate::model::size::Mebibytes;
    use crate::report::tests::{empty, gpu, reason, step, switch};

    fn step_of(action: Action, service: &str, vram_mib: u64, estimate_ms: u64, needs: &[&str]) -> Step {
        let from = if action == Action::Start { State::Offline } else { State::Online };
        let plain = step(action, service, from, vram_mib, reason(ReasonCode::Requested, ""));
        Step { estimate_ms: Some(estimate_ms), needs: needs.iter().map(|need| (*need).into()).collect(), ..plain }
    }

    fn of(steps: Vec<Step>) -> Plan {
        let before = GpuLine { before_mib: Mebibytes(1_000), ..gpu("GPU-aaaa", 0) };
        Plan { steps, gpus: vec![before], ..empty() }
    }

    fn span(begin_ms: u64, end_ms: u64) -> StepSpan {
        StepSpan { begin_ms, end_ms, is_estimated: true }
    }

    fn level(from_ms: u64, until_ms: u64, used: u64) -> MemoryLevel {
        MemoryLevel { from_ms, until_ms, used: Mebibytes(used) }
    }

    #[test]
    fn a_step_begins_when_the_last_of_its_needs_has_ended() {
        let line = timeline(&of(vec![
            step_of(Action::Start, "late", 0, 7, &["stop:long", "stop:short", "start:other:plan"]),
            step_of(Action::Stop, "long", 0, 30, &[]),
            step_of(Action::Stop, "short", 0, 10, &[]),
        ]));
        assert_eq!(line.spans, [span(30, 37), span(0, 30), span(0, 10)]);
        assert_eq!((line.end_ms, line.edges), (37, vec![(1, 0), (2, 0)]));
    }

    #[test]
    fn without_an_estimate_a_step_has_a_default_duration() {
        let line = timeline(&switch());
        let drawn: Vec<(u64, bool)> = line.spans.iter().map(|it| (it.end_ms - it.begin_ms, it.is_estimated)).collect();
        assert_eq!(drawn, [(OTHER_DRAWN_MS, false), (OTHER_DRAWN_MS, false), (START_DRAWN_MS, false), (42_000, true)]);
        assert_eq!(line.end_ms, OTHER_DRAWN_MS + START_DRAWN_MS + 42_000);
    }

    #[test]
    fn memory_is_taken_at_a_begin_and_given_back_at_an_end() {
        let line = timeline(&of(vec![
            step_of(Action::Stop, "old", 600, 10, &[]),
            step_of(Action::Start, "new", 900, 20, &["stop:old"]),
            step_of(Action::Start, "beside", 50, 5, &[]),
        ]));
        assert_eq!(line.gpus, [vec![level(0, 10, 1_050), level(10, 30, 1_350)]]);
        assert_eq!(timeline(&of(Vec::new())).gpus, [vec![level(0, 0, 1_000)]]);
    }

    #[test]
    fn the_last_level_is_the_plans_result() {
        let line = timeline(&of(vec![step_of(Action::Stop, "old", 600, 10, &[])]));
        assert_eq!(line.gpus, [vec![level(0, 10, 1_000), level(10, 10, 400)]]);
    }

    #[test]
    fn a_cycle_begins_at_once_and_no_figure_overflows() {
        let line = timeline(&of(vec![
            step_of(Action::Start, "a", 0, 5, &["start:b"]),
            step_of(Action::Start, "b", 0, 5, &["start:a"]),
            step_of(Action::Stop, "c", u64::MAX, u64::MAX, &[]),
            step_of(Action::Start, "d", u64::MAX, u64::MAX, &["stop:c"]),
        ]));
        assert_eq!(line.spans, [span(0, 5), span(0, 5), span(0, u64::MAX), span(u64::MAX, u64::MAX)]);
    }
}
