//! Contents of the page, also for screen readers, and that foreign names are only text.

use lcm::model::plan::Plan;
use serde_json::{Value, json};

use crate::chromium::Page;
use crate::{HOSTILE, hostile, page_of, plan};

/// Roles of elements that can be used.
const USED: [&str; 7] = ["link", "button", "tab", "textbox", "checkbox", "DisclosureTriangle", "menuitem"];

/// One element as a screen reader gets it.
#[derive(Debug)]
struct Element {
    role: String,
    name: String,
    focusable: bool,
    level: Option<u64>,
}

fn elements(page: &mut Page) -> Vec<Element> {
    page.call("Accessibility.enable", &json!({}));
    let tree = page.call("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] != true);
    let property = |node: &Value, name: &str| {
        let properties = node["properties"].as_array().cloned().unwrap_or_default();
        properties.iter().find(|property| property["name"] == name).map(|property| property["value"]["value"].clone())
    };
    let word = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    nodes
        .map(|node| Element {
            role: word(&node["role"]),
            name: word(&node["name"]),
            focusable: property(node, "focusable") == Some(Value::Bool(true)),
            level: property(node, "level").and_then(|level| level.as_u64()),
        })
        .collect()
}

#[track_caller]
fn check(of: &Plan, scripts: bool) {
    let mut page = Page::new();
    page.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !scripts }));
    page.show(&page_of(of));
    page.eval("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
    let all = elements(&mut page);
    for one in all.iter().filter(|one| one.focusable && one.role != "RootWebArea" || USED.contains(&&*one.role)) {
        assert!(!one.name.trim().is_empty(), "no name: {one:?}");
    }
    let images: Vec<&Element> = all.iter().filter(|one| ["image", "img"].contains(&one.role.as_str())).collect();
    assert_eq!(images.len(), of.gpus.len(), "{images:?}");
    assert!(images.iter().all(|image| image.name.starts_with("GPU")), "{images:?}");
    for landmark in ["banner", "main", "contentinfo"] {
        assert_eq!(all.iter().filter(|one| one.role == landmark).count(), 1, "{landmark}");
    }
    let levels: Vec<u64> = all.iter().filter(|one| one.role == "heading").filter_map(|one| one.level).collect();
    assert_eq!((levels.first(), levels.iter().filter(|level| **level == 1).count()), (Some(&1), 1), "{levels:?}");
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a level is left out: {levels:?}");
    let tabs: Vec<&Element> = all.iter().filter(|one| one.role == "tab").collect();
    assert_eq!(tabs.len(), if scripts { of.steps.len() } else { 0 });
    for (tab, step) in tabs.iter().zip(&of.steps) {
        let begins = format!("{} {}", step.action, step.service.as_str().split('<').next().unwrap_or_default());
        assert!(tab.name.contains(&begins) && tab.name.contains("begins at"), "{tab:?}");
    }
    // The values in the pictures are in a table too.
    let heads: Vec<&str> = all.iter().filter(|one| one.role == "columnheader").map(|one| one.name.as_str()).collect();
    for head in ["GPU 0", "GPU 1", "Peak", "Begins"] {
        assert!(heads.iter().any(|name| name.replace('\u{a0}', " ") == head), "{head}: {heads:?}");
    }
}

pub(crate) fn a_screen_reader_gets_everything() {
    check(&plan(), true);
    check(&plan(), false);
    check(&hostile(), true);
    // Nothing to do.
    let mut page = Page::new();
    let nothing = Plan { steps: Vec::new(), blocked: Vec::new(), ..plan() };
    page.show(&page_of(&nothing));
    let all = elements(&mut page);
    assert!(
        all.iter().any(|one| one.role == "heading" && one.name.replace('\u{a0}', " ") == "Nothing to do"),
        "{all:?}"
    );
}

pub(crate) fn every_name_is_text() {
    let mut page = Page::new();
    let plan = hostile();
    page.show(&page_of(&plan));
    page.click("#row-2");
    assert_ne!(page.eval("document.title"), "run", "a name was run");
    assert_eq!(page.eval("document.querySelectorAll('img').length"), 0);
    assert_eq!(page.eval("document.querySelectorAll('script').length"), 1);
    for place in ["h3 b", ".row b", ".list th code", ".why", ".diff", ".parts"] {
        let text = page.eval(&format!("document.querySelector({place:?}).textContent"));
        assert!(text.as_str().unwrap_or_default().contains(HOSTILE), "{place}: {text}");
    }
}

pub(crate) fn a_picture_agrees_with_the_plan() {
    let mut page = Page::new();
    page.size(1280, 1000);
    page.show(&page_of(&plan()));
    // Each bar begins, in pixels, where the last one that it waits for ends.
    let bars = page.eval(
        "[...document.querySelectorAll('.row .bar')].map((bar) => { const box = bar.getBoundingClientRect(); \
         return [box.left, box.right]; })",
    );
    let at = |step: usize, side: usize| bars[step][side].as_f64().unwrap_or(f64::NAN);
    let plan = plan();
    let position = |id: &str| plan.steps.iter().position(|step| step.id.as_str() == id).expect("a step");
    for (number, step) in plan.steps.iter().enumerate() {
        let ends = step.needs.iter().map(|need| at(position(need.as_str()), 1)).fold(f64::NAN, f64::max);
        assert!(ends.is_nan() || (at(number, 0) - ends).abs() < 6.0, "{} begins at {}", step.id, at(number, 0));
    }
    // One arrow for each need.
    let needs: usize = plan.steps.iter().map(|step| step.needs.len()).sum();
    assert_eq!(page.eval("document.querySelectorAll('.arrows g').length"), needs);
    // The figures in the table's last row are the plan's result.
    let last = page.eval("[...document.querySelectorAll('.figures tbody')][0].lastElementChild.textContent");
    let last = last.as_str().unwrap_or_default().to_owned();
    for gpu in &plan.gpus {
        let after = gpu.after_mib.to_string().replace(" MiB", "").replace(' ', "\u{202f}");
        assert!(last.contains(&after), "{last:?} lacks {after}");
    }
}
