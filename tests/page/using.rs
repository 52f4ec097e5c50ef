//! Use of the page: with a mouse, with keys alone, without its script.

use serde_json::json;

use crate::chromium::Page;
use crate::{hostile, page_of, plan};

/// Text of the visible panels, and the selected row.
const SHOWN: &str = "[...document.querySelectorAll('.panel')].filter((panel) => panel.checkVisibility())\
                     .map((panel) => panel.innerText).join('\\n----\\n')";
const CHOSEN: &str = "[...document.querySelectorAll('[aria-selected=true]')].map((row) => row.id).join(' ')";
const FOCUSED: &str = "document.activeElement.id";

/// Keys by name and number.
const TAB: (&str, u32) = ("Tab", 9);
const ENTER: (&str, u32) = ("Enter", 13);
const SPACE: (&str, u32) = (" ", 32);
const END: (&str, u32) = ("End", 35);
const HOME: (&str, u32) = ("Home", 36);
const UP: (&str, u32) = ("ArrowUp", 38);
const DOWN: (&str, u32) = ("ArrowDown", 40);

fn shown(page: &mut Page) -> String {
    page.eval(SHOWN).as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn chosen(page: &mut Page, position: usize) {
    assert_eq!(page.eval(CHOSEN), format!("row-{position}"));
    let plan = plan();
    let why = &plan.steps[position].reason.message;
    let said = shown(page).to_lowercase();
    assert!(said.contains(&format!("{why}.")), "{said} lacks {why}");
    assert!(!said.contains("----"), "more than one step is shown: {said}");
}

pub(crate) fn a_click_shows_the_panel_of_a_step() {
    let mut page = Page::new();
    page.show(&page_of(&plan()));
    chosen(&mut page, 0);
    for position in [3, 5, 1] {
        page.click(&format!("#row-{position}"));
        chosen(&mut page, position);
        assert_eq!(page.eval(FOCUSED), format!("row-{position}"));
    }
    // The restart shows its changes.
    page.click("#row-3");
    let said = shown(&mut page);
    assert!(said.contains("PORT: 81") && said.contains("PORT: 80"), "{said}");
    // The link to a step that waits for it leads there.
    page.click("#step-3 a[href='#step-4']");
    chosen(&mut page, 4);
    // The memory chart marks the step's time.
    let marked = page.eval("document.querySelector('.window').getAttribute('width')");
    assert_eq!(marked, page.eval("document.querySelector('#row-4').dataset.width"));
}

pub(crate) fn the_keyboard_alone_is_enough() {
    let mut page = Page::new();
    page.show(&page_of(&plan()));
    let press = |page: &mut Page, (key, number): (&str, u32)| page.press(key, number);
    press(&mut page, TAB);
    assert_eq!(page.eval(FOCUSED), "row-0");
    let visible = "(() => { const style = getComputedStyle(document.activeElement); \
                   return document.activeElement.matches(':focus-visible') && style.outlineStyle !== 'none' \
                   && parseFloat(style.outlineWidth) >= 2; })()";
    assert_eq!(page.eval(visible), true, "focus is seen");
    for (key, position) in [(DOWN, 1), (DOWN, 2), (UP, 1), (END, 5), (DOWN, 5), (HOME, 0), (UP, 0), (DOWN, 1)] {
        press(&mut page, key);
        assert_eq!(page.eval(FOCUSED), format!("row-{position}"));
        chosen(&mut page, position);
        assert_eq!(page.eval(visible), true, "focus is seen");
    }
    // A row with the focus that is not selected, as a screen reader may cause.
    for (key, position) in [(ENTER, 4), (SPACE, 2)] {
        page.eval(&format!("document.querySelector('#row-{position}').focus()"));
        press(&mut page, key);
        chosen(&mut page, position);
    }
    // All other usable elements are reached by Tab, once each, with a visible focus.
    let mut reached = Vec::new();
    for _ in 0..20 {
        press(&mut page, TAB);
        let name = page.eval("document.activeElement.textContent.trim().slice(0, 40)");
        let at = page.eval("document.activeElement === document.body").as_bool();
        if at == Some(true) {
            break;
        }
        assert_eq!(page.eval(visible), true, "focus is seen at {name}");
        reached.push(name);
    }
    let last: Vec<&str> = reached.iter().filter_map(|name| name.as_str()).collect();
    assert!(last.contains(&"As a table") && last.contains(&"1 unchanged service"), "{last:?}");
}

pub(crate) fn without_a_script_all_panels_show() {
    let mut page = Page::new();
    page.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    let plan = plan();
    page.show(&page_of(&plan));
    assert_eq!(page.eval("document.documentElement.classList.contains('js')"), false);
    let said = shown(&mut page);
    assert_eq!(said.matches("----").count() + 1, plan.steps.len(), "every step is shown");
    for step in &plan.steps {
        assert!(said.to_lowercase().contains(&step.reason.message), "{said} lacks {}", step.reason.message);
    }
    let body = page.eval("document.body.textContent");
    let body = body.as_str().unwrap_or_default();
    for line in plan.kept.iter().map(|kept| kept.message.as_str()).chain(plan.warnings.iter().map(String::as_str)) {
        assert!(body.contains(line), "{line}");
    }
    // A row leads to its panel.
    page.click("#row-4");
    let at = page.eval("document.querySelector(':target').id");
    assert_eq!(at, "step-4");
}

pub(crate) fn nothing_is_requested_and_nothing_fails() {
    for plan in [plan(), hostile()] {
        let mut page = Page::new();
        let url = page.show(&page_of(&plan));
        page.click("#row-2");
        page.eval("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
        let events = std::mem::take(&mut page.events);
        let of = |method: &str| events.iter().filter(|event| event["method"] == method).collect::<Vec<_>>();
        for method in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"] {
            assert!(of(method).is_empty(), "{:#?}", of(method));
        }
        let requested: Vec<&str> = of("Network.requestWillBeSent")
            .iter()
            .filter_map(|event| event["params"]["request"]["url"].as_str())
            .collect();
        assert!(requested.contains(&url.as_str()), "the page itself is requested: {requested:?}");
        assert!(requested.iter().all(|one| *one == url || *one == "data:,"), "{requested:?}");
        // The policy holds: a foreign script is not run, and a foreign style is not applied.
        page.eval(
            "(() => { const script = document.createElement('script'); script.textContent = 'document.title = \"run\"'; \
             document.body.append(script); const style = document.createElement('style'); style.textContent = \
             'body { display: none }'; document.body.append(style); })()",
        );
        assert_ne!(page.eval("document.title"), "run");
        assert_ne!(page.eval("getComputedStyle(document.body).display"), "none");
    }
}
