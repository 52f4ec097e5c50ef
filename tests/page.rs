//! The page of a plan in a real browser: what it shows, how it is used without a mouse, without a script, without seeing
//! it, on a phone, in the dark and on paper; and that it asks nobody for anything.
//!
//! Without a browser each test says `ignored`, and why; with `LCM_TEST_REQUIRE=chromium` its absence is a failure. With
//! `LCM_SHOTS=FOLDER` pictures of the page are left there.

#[path = "support/chromium.rs"]
mod chromium;
#[path = "page/looks.rs"]
mod looks;
#[path = "page/reading.rs"]
mod reading;
#[path = "support/require.rs"]
mod require;
#[path = "page/using.rs"]
mod using;

use lcm::model::plan::{Plan, Purpose};
use lcm::report::html;
use lcm::report::view::{Freshness, PlanOrigin, PlanView};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use chromium::chromium_missing;

/// Two GPUs, a restart, one start that no earlier run tells of, and one of each kind of what is not done.
const PLAN: &str = include_str!("data/plan.json");

/// What a page must show as text.
const HOSTILE: &str = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">'\"&amp;";

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("using::a_click_shows_what_is_said_of_a_step", using::a_click_shows_what_is_said_of_a_step),
        trial("using::the_keyboard_alone_is_enough", using::the_keyboard_alone_is_enough),
        trial("using::without_a_script_all_is_said", using::without_a_script_all_is_said),
        trial("using::nothing_is_asked_for_and_nothing_goes_wrong", using::nothing_is_asked_for_and_nothing_goes_wrong),
        trial("reading::whoever_does_not_see_it_hears_all", reading::whoever_does_not_see_it_hears_all),
        trial("reading::whatever_a_name_is_it_is_text", reading::whatever_a_name_is_it_is_text),
        trial("reading::a_picture_says_what_the_plan_says", reading::a_picture_says_what_the_plan_says),
        trial("looks::a_phone_needs_no_scrolling_sideways", looks::a_phone_needs_no_scrolling_sideways),
        trial("looks::it_can_be_read_by_day_and_by_night", looks::it_can_be_read_by_day_and_by_night),
        trial("looks::paper_gets_every_step_and_calm_readers_no_motion", looks::paper_and_calm),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    let missing = chromium_missing();
    let kind = missing.as_ref().map(|reason| format!("needs chromium: {reason}")).unwrap_or_default();
    let ignored = missing.is_some() && !require::required("chromium");
    let run = move || {
        if let Some(reason) = missing {
            return Err(Failed::from(reason));
        }
        test();
        Ok(())
    };
    Trial::test(name, run).with_kind(kind).with_ignored_flag(ignored)
}

fn plan() -> Plan {
    serde_json::from_str(PLAN).expect("a plan")
}

fn page_of(plan: &Plan) -> String {
    let standing = Freshness::Stale(vec!["- stop:ollama: not to be done any more".to_owned()]);
    html::plan(PlanView { plan, purpose: Purpose::Apply, origin: PlanOrigin::Saved(&standing) }).to_string()
}

/// The same plan, every name and sentence of it hostile.
fn hostile() -> Plan {
    let mut plan: Value = serde_json::from_str(PLAN).expect("JSON");
    embitter(&mut plan);
    serde_json::from_value(plan).expect("a plan")
}

fn embitter(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let told = ["project", "mode", "host", "service", "message", "diff", "by"].contains(&name.as_str());
                match field {
                    Value::String(text) if told => *text = format!("{text}{HOSTILE}"),
                    other => embitter(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(embitter),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
