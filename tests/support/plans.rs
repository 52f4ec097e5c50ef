//! Accessors of plans and event streams.

use serde_json::Value;

/// Returns the steps' ids (`["stop:painter", "start:writer"]`), in plan order.
pub(crate) fn steps(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap_or_else(|| panic!("no steps in {plan:#}"));
    steps.iter().map(|step| step["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Returns the reason code of one step.
pub(crate) fn reason(plan: &Value, id: &str) -> String {
    let steps = plan["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {plan:#}"));
    step["reason"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Returns `service: code` of each blocked service.
pub(crate) fn blocked(plan: &Value) -> Vec<String> {
    let blocked = plan["blocked"].as_array().expect("blocked");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    blocked.iter().map(|entry| format!("{}: {}", word(&entry["service"]), word(&entry["reason"]["code"]))).collect()
}

/// Removes the fields that depend on the time from a plan.
pub(crate) fn timeless(mut plan: Value) -> Value {
    plan["observed_at"] = Value::Null;
    for step in plan["steps"].as_array_mut().into_iter().flatten() {
        step["estimate_ms"] = Value::Null;
    }
    plan
}

/// Returns the position of the first event of this type for this step.
#[track_caller]
pub(crate) fn position(events: &[Value], kind: &str, step: &str) -> usize {
    events
        .iter()
        .position(|event| event["type"] == kind && event["step"] == step)
        .unwrap_or_else(|| panic!("no {kind} of {step} in {events:#?}"))
}

/// Returns the position at which a step enters a stage. A step is prepared before anything is stopped, and takes its
/// memory in stage `start`.
#[track_caller]
pub(crate) fn stage(events: &[Value], step: &str, stage: &str) -> usize {
    events
        .iter()
        .position(|event| event["type"] == "stage" && event["step"] == step && event["stage"] == stage)
        .unwrap_or_else(|| panic!("{step} enters no stage {stage} in {events:#?}"))
}

/// Returns the last event, which is the result.
#[track_caller]
pub(crate) fn result(events: &[Value]) -> &Value {
    let last = events.last().expect("an event");
    assert_eq!(last["type"], "result", "the last event is the result");
    last
}
