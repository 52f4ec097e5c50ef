//! The page of a plan in a real browser: its contents, its use without a mouse, without a script and with a screen
//! reader, on a phone, in the dark and on paper; and that it loads nothing.
//!
//! Without a browser each test is `ignored`, with the reason; with `LCM_TEST_REQUIRE=chromium` its absence is a
//! failure. With `LCM_SHOTS=FOLDER` screenshots of the page are saved there.

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

/// Plan with two GPUs, a restart, one start without an estimate, and one entry of each kind that is not done.
const PLAN: &str = include_str!("data/plan.json");

/// Text that a page must show as text.
const HOSTILE: &str = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">'\"&amp;";

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("using::a_click_shows_the_panel_of_a_step", using::a_click_shows_the_panel_of_a_step),
        trial("using::the_keyboard_alone_is_enough", using::the_keyboard_alone_is_enough),
        trial("using::without_a_script_all_panels_show", using::without_a_script_all_panels_show),
        trial("using::nothing_is_requested_and_nothing_fails", using::nothing_is_requested_and_nothing_fails),
        trial("reading::a_screen_reader_gets_everything", reading::a_screen_reader_gets_everything),
        trial("reading::every_name_is_text", reading::every_name_is_text),
        trial("reading::a_picture_agrees_with_the_plan", reading::a_picture_agrees_with_the_plan),
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
    let standing = Freshness::Stale(vec!["- stop:ollama: no longer planned".to_owned()]);
    html::plan(PlanView { plan, purpose: Purpose::Apply, origin: PlanOrigin::Saved(&standing) }).to_string()
}

/// Returns the same plan with every name and sentence hostile.
fn hostile() -> Plan {
    let mut plan: Value = serde_json::from_str(PLAN).expect("JSON");
    make_hostile(&mut plan);
    serde_json::from_value(plan).expect("a plan")
}

fn make_hostile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let is_text = ["project", "mode", "host", "service", "message", "diff", "by"].contains(&name.as_str());
                match field {
                    Value::String(text) if is_text => *text = format!("{text}{HOSTILE}"),
                    other => make_hostile(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_hostile),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
