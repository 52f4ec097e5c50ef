//! When each step of a plan would begin and end if each took what it took before, and what each GPU would hold
//! meanwhile: one course of many, for pictures. Nothing is decided by it.
//!
//! A step begins when the last of its needs has ended; that only so many are under way at once is left out of account.

use std::collections::{BTreeMap, VecDeque};

use crate::model::lifecycle::Action;
use crate::model::names::{GpuId, StepId};
use crate::model::plan::{Plan, Step};
use crate::model::size::Mebibytes;

/// How long a step is drawn of which no earlier run tells: a start loads a model, the others do not.
pub(super) const START_DRAWN_MS: u64 = 20_000;
pub(super) const OTHER_DRAWN_MS: u64 = 5_000;

/// The course of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// One a step, in the plan's order.
    pub(super) spans: Vec<StepSpan>,
    /// When the last one ends.
    pub(super) end_ms: u64,
    /// From each step to those that wait for it, by position.
    pub(super) edges: Vec<(usize, usize)>,
    /// One a GPU, in the plan's order.
    pub(super) gpus: Vec<Vec<MemoryLevel>>,
}

/// From when until when a step is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepSpan {
    pub(super) begin_ms: u64,
    pub(super) end_ms: u64,
    /// Whether an earlier run tells how long it takes; else it is drawn as long as any.
    pub(super) told: bool,
}

/// What a GPU holds for a while.
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
    let gpus = plan.gpus.iter().map(|line| levels(plan, &spans, end_ms, &line.id, line.before_mib)).collect();
    Timeline { spans, end_ms, edges, gpus }
}

/// From each need to the step that waits for it, by position. A need that the plan lacks is left out.
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
    // A plan of lcm's own has no cycle. In a file that somebody else wrote, what waits for itself begins at once.
    let mut spans: Vec<StepSpan> = steps
        .iter()
        .map(|step| StepSpan { begin_ms: 0, end_ms: took(step), told: step.estimate_ms.is_some() })
        .collect();
    let (mut waiting, mut after) = (vec![0_usize; steps.len()], vec![Vec::new(); steps.len()]);
    for (from, to) in edges {
        waiting[*to] += 1;
        after[*from].push(*to);
    }
    let mut ready: VecDeque<usize> = (0..steps.len()).filter(|step| waiting[*step] == 0).collect();
    // Ends: each step is ready once.
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

/// A step takes memory when it begins, and gives memory back when it ends.
fn levels(plan: &Plan, spans: &[StepSpan], end_ms: u64, gpu: &GpuId, before: Mebibytes) -> Vec<MemoryLevel> {
    let mut changes: BTreeMap<u64, (Mebibytes, Mebibytes)> = BTreeMap::new();
    for (step, span) in plan.steps.iter().zip(spans) {
        changes.entry(span.begin_ms).or_default().1 += step.takes_on(gpu);
        changes.entry(span.end_ms).or_default().0 += step.frees_on(gpu);
    }
    let mut levels = vec![MemoryLevel { from_ms: 0, until_ms: end_ms, used: before }];
    for (at, (freed, taken)) in changes {
        let last = levels.len() - 1;
        // What is given back at a moment is there for what begins at it.
        let used = (levels[last].used - freed) + taken;
        if used != levels[last].used {
            levels[last].until_ms = at;
            levels.push(MemoryLevel { from_ms: at, until_ms: end_ms, used });
        }
    }
    // One that lasts no time is not seen; but the last one stays, for it is what the plan comes to.
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

    fn told(action: Action, service: &str, vram_mib: u64, estimate_ms: u64, needs: &[&str]) -> Step {
        let from = if action == Action::Start { State::Offline } else { State::Online };
        let plain = step(action, service, from, vram_mib, reason(ReasonCode::Requested, ""));
        Step { estimate_ms: Some(estimate_ms), needs: needs.iter().map(|need| (*need).into()).collect(), ..plain }
    }

    fn of(steps: Vec<Step>) -> Plan {
        let before = GpuLine { before_mib: Mebibytes(1_000), ..gpu("GPU-aaaa", 0) };
        Plan { steps, gpus: vec![before], ..empty() }
    }

    fn span(begin_ms: u64, end_ms: u64) -> StepSpan {
        StepSpan { begin_ms, end_ms, told: true }
    }

    fn level(from_ms: u64, until_ms: u64, used: u64) -> MemoryLevel {
        MemoryLevel { from_ms, until_ms, used: Mebibytes(used) }
    }

    #[test]
    fn a_step_begins_when_the_last_of_its_needs_has_ended() {
        let line = timeline(&of(vec![
            told(Action::Start, "late", 0, 7, &["stop:long", "stop:short", "start:other:plan"]),
            told(Action::Stop, "long", 0, 30, &[]),
            told(Action::Stop, "short", 0, 10, &[]),
        ]));
        assert_eq!(line.spans, [span(30, 37), span(0, 30), span(0, 10)]);
        assert_eq!((line.end_ms, line.edges), (37, vec![(1, 0), (2, 0)]));
    }

    #[test]
    fn without_an_earlier_run_it_is_drawn_as_long_as_any() {
        let line = timeline(&switch());
        let drawn: Vec<(u64, bool)> = line.spans.iter().map(|it| (it.end_ms - it.begin_ms, it.told)).collect();
        assert_eq!(drawn, [(OTHER_DRAWN_MS, false), (OTHER_DRAWN_MS, false), (START_DRAWN_MS, false), (42_000, true)]);
        assert_eq!(line.end_ms, OTHER_DRAWN_MS + START_DRAWN_MS + 42_000);
    }

    #[test]
    fn memory_is_taken_at_a_begin_and_given_back_at_an_end() {
        let line = timeline(&of(vec![
            told(Action::Stop, "old", 600, 10, &[]),
            told(Action::Start, "new", 900, 20, &["stop:old"]),
            told(Action::Start, "beside", 50, 5, &[]),
        ]));
        assert_eq!(line.gpus, [vec![level(0, 10, 1_050), level(10, 30, 1_350)]]);
        assert_eq!(timeline(&of(Vec::new())).gpus, [vec![level(0, 0, 1_000)]]);
    }

    #[test]
    fn it_ends_with_what_the_plan_ends_with() {
        let line = timeline(&of(vec![told(Action::Stop, "old", 600, 10, &[])]));
        assert_eq!(line.gpus, [vec![level(0, 10, 1_000), level(10, 10, 400)]]);
    }

    #[test]
    fn what_waits_for_itself_begins_at_once_and_no_figure_overflows() {
        let line = timeline(&of(vec![
            told(Action::Start, "a", 0, 5, &["start:b"]),
            told(Action::Start, "b", 0, 5, &["start:a"]),
            told(Action::Stop, "c", u64::MAX, u64::MAX, &[]),
            told(Action::Start, "d", u64::MAX, u64::MAX, &["stop:c"]),
        ]));
        assert_eq!(line.spans, [span(0, 5), span(0, 5), span(0, u64::MAX), span(u64::MAX, u64::MAX)]);
    }
}
