//! The page as text. `tests/page.rs` covers its looks and behaviour in a browser.

use super::{PAGE, SCRIPT, STYLE, plan};
use crate::model::plan::{Plan, Purpose};
use crate::report::tests::{HOSTILE, empty, hostile, switch, view};
use crate::report::view::{Freshness, PlanOrigin, PlanView};

fn page(of: &Plan) -> String {
    plan(view(of, Purpose::Apply)).to_string()
}

#[test]
fn every_place_is_filled_once() {
    let places: Vec<&str> = PAGE.split("{{").skip(1).filter_map(|piece| piece.split("}}").next()).collect();
    assert_eq!(places.len(), 14, "{places:?}");
    let page = page(&switch());
    assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</html>\n"));
    assert_eq!((page.matches(STYLE).count(), page.matches(SCRIPT).count()), (1, 1));
    assert!(!page.replace(STYLE, "").replace(SCRIPT, "").contains("{{"), "a place is left open");
}

#[test]
fn no_name_is_markup() {
    let page = page(&hostile());
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    // No text from the plan appears unescaped between angle brackets.
    assert!(!page.contains("alert(1)</script>") && !page.contains(HOSTILE));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn what_is_in_braces_is_not_filled() {
    let mut of = switch();
    of.host = "{{script}}".to_owned();
    assert!(page(&of).contains("host {{script}}"));
}

#[test]
fn no_external_resource_is_named() {
    let page = page(&switch());
    for word in ["http:", "https:", "@import", " src=", " style=\"", " onclick", "fetch(", "XMLHttp"] {
        assert!(!page.contains(word), "{word}");
    }
    let after = |word: &'static str| page.split(word).skip(1).map(|rest| rest.chars().take(5).collect::<String>());
    assert!(after(" href=\"").all(|place| place.starts_with('#') || place == "data:"), "a link leads away");
    assert!(after("url(").all(|place| place.starts_with('#')), "something is loaded");
}

#[test]
fn nothing_to_do_is_a_page_too() {
    let page = page(&Plan { kept: switch().kept, ..empty() });
    assert!(page.contains("<h1>Nothing\u{a0}to\u{a0}do</h1>"), "{page}");
    assert!(page.contains("2 services of studio already match mode video"));
    assert!(!page.contains("id=\"steps-title\"") && page.contains("<details open>"));
}

#[test]
fn a_saved_plan_shows_its_freshness() {
    let of = switch();
    let shown = |standing: &Freshness| {
        plan(PlanView { plan: &of, purpose: Purpose::Apply, origin: PlanOrigin::Saved(standing) })
    };
    let stale = shown(&Freshness::Stale(vec!["+ stop:web: now planned, <b>".to_owned()]));
    assert!(stale.contains("class=\"standing stale\"") && stale.contains("now planned, &lt;b&gt;"));
    assert!(shown(&Freshness::Valid).contains("It is still valid"));
    assert!(
        shown(&Freshness::Unknown("no lcm.yaml".to_owned()))
            .contains("is not known whether it is still valid: no lcm.yaml.")
    );
    assert!(!page(&of).contains("class=\"standing"));
}
