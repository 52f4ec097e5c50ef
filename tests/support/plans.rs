//! What tests read out of plans and event streams.

use serde_json::Value;

/// `["stop:painter", "start:writer"]`, in plan order.
pub(crate) fn steps(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap_or_else(|| panic!("no steps in {plan:#}"));
    steps.iter().map(|step| step["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The reason code of one step.
pub(crate) fn reason(plan: &Value, id: &str) -> String {
    let steps = plan["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no step {id} in {plan:#}"));
    step["reason"]["code"].as_str().unwrap_or_default().to_owned()
}

/// `service: code` of each blocked service.
pub(crate) fn blocked(plan: &Value) -> Vec<String> {
    let blocked = plan["blocked"].as_array().expect("blocked");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    blocked.iter().map(|entry| format!("{}: {}", word(&entry["service"]), word(&entry["reason"]["code"]))).collect()
}

/// A plan without what differs from one moment to the next.
pub(crate) fn timeless(mut plan: Value) -> Value {
    plan["observed_at"] = Value::Null;
    for step in plan["steps"].as_array_mut().into_iter().flatten() {
        step["estimate_ms"] = Value::Null;
    }
    plan
}

/// Where the first event of this type for this step stands in the stream.
#[track_caller]
pub(crate) fn position(events: &[Value], kind: &str, step: &str) -> usize {
    events
        .iter()
        .position(|event| event["type"] == kind && event["step"] == step)
        .unwrap_or_else(|| panic!("no {kind} of {step} in {events:#?}"))
}

/// Where a step enters a stage. It is prepared before anything is stopped; its `start` is when it takes its room.
#[track_caller]
pub(crate) fn stage(events: &[Value], step: &str, stage: &str) -> usize {
    events
        .iter()
        .position(|event| event["type"] == "stage" && event["step"] == step && event["stage"] == stage)
        .unwrap_or_else(|| panic!("{step} enters no stage {stage} in {events:#?}"))
}

/// The last event.
#[track_caller]
pub(crate) fn result(events: &[Value]) -> &Value {
    let last = events.last().expect("an event");
    assert_eq!(last["type"], "result", "the last event is the result");
    last
}
