//! Services that `--target` and `--exclude` leave out: reported with the plan, since the project may not converge
//! without them.

use crate::model::names::ServiceName;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;
use crate::plan::want::Want;

/// Maximum number of services that are named; more are counted.
const NAMED_MAX: usize = 6;

/// Returns a one-line warning; `None` where all services are selected, or for a one-shot, which names its services.
pub(super) fn left_out(input: &PlanInput<'_>) -> Option<String> {
    let request = input.request;
    let options = match (request.targets.is_empty(), request.excludes.is_empty()) {
        _ if request.purpose.is_one_shot() => return None,
        (true, true) => return None,
        (false, true) => "--target",
        (true, false) => "--exclude",
        (false, false) => "--target and --exclude",
    };
    let (all, out) = (input.all().len(), input.all().filter(|number| !input.is_in_scope(*number)).count());
    if out == 0 {
        return None;
    }
    let other: Vec<&ServiceName> =
        input.all().filter(|number| is_otherwise(input, *number)).map(|at| input.name(at)).collect();
    let rest = if other.is_empty() {
        if out == 1 { "the other one stays as it is".to_owned() } else { format!("the other {out} stay as they are") }
    } else {
        let wish = input.desired.mode.as_ref().map_or_else(|| "the manifest".to_owned(), |mode| format!("mode {mode}"));
        format!("left out despite differing from {wish}: {}", named(&other))
    };
    let are = if all - out == 1 { "is" } else { "are" };
    Some(format!("{options}: {} of {all} services {are} selected; {rest}", all - out))
}

/// Returns true if a plan for all services would clearly have a step for this one.
fn is_otherwise(input: &PlanInput<'_>, number: Number) -> bool {
    let seen = input.seen(number);
    let differs = match input.want(number) {
        Want::Wanted(_) => !seen.state.is_operational(),
        Want::Off(_) => seen.holds_capacity,
        Want::Kept => false,
    };
    differs && !input.is_in_scope(number)
}

/// `a, b, c and 4 more`
fn named(services: &[&ServiceName]) -> String {
    let names: Vec<&str> = services.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    match services.len().saturating_sub(NAMED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
