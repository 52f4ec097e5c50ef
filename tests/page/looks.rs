//! Looks of the page: on a phone, in light and dark themes, on paper. Measured if possible; screenshots show the rest.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::chromium::Page;
use crate::{hostile, page_of, plan};

/// Least contrast of letters to their background, for readers with low vision.
const CONTRAST_MIN: f64 = 4.5;

/// Every visible text with its contrast to the background behind its middle, computed as in WCAG; the lowest first.
const CONTRASTS: &str = r"(() => {
  const parse = (color) => {
    const numbers = (color.match(/[\d.]+/g) || []).map(Number);
    return numbers.length < 3 ? [0, 0, 0, 0] : [...numbers.slice(0, 3), numbers.length > 3 ? numbers[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = (color) => {
    const [red, green, blue] = color.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element, x, y) => {
    const stack = document.elementsFromPoint(x, y).reverse().concat();
    let color = parse(getComputedStyle(document.documentElement).backgroundColor);
    for (const other of stack) {
      if (other === element || element.contains(other)) continue;
      const style = getComputedStyle(other);
      const shape = other instanceof SVGGeometryElement;
      const paint = parse(shape ? style.fill : style.backgroundColor);
      paint[3] *= Number(style.opacity) * (shape ? Number(style.fillOpacity) : 1);
      color = over(paint, color);
    }
    const own = element instanceof SVGElement ? [0, 0, 0, 0] : parse(getComputedStyle(element).backgroundColor);
    return over(own, color);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || ['SCRIPT', 'STYLE'].includes(element.tagName) || element.closest('.unseen')) continue;
    if (!element.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 2 || box.height < 2) continue;
      const style = getComputedStyle(element);
      const ink = parse(element instanceof SVGElement ? style.fill : style.color);
      const ground = behind(element, box.x + box.width / 2, box.y + box.height / 2);
      const [high, low] = [light(over(ink, ground)), light(ground)].sort((a, b) => b - a);
      found.push([(high + 0.05) / (low + 0.05), node.textContent.trim().slice(0, 40)]);
    }
  }
  return found.sort((a, b) => a[0] - b[0]);
})()";

const OVERFLOW: &str = "[document.documentElement.scrollWidth, innerWidth]";

const UNFOLD: &str = "document.querySelectorAll('details').forEach((details) => { details.open = true; })";

/// Saves a screenshot, if requested by the environment.
fn shot(page: &mut Page, name: &str) {
    let Some(folder) = std::env::var_os("LCM_SHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("a folder");
    let whole = json!({ "format": "png", "captureBeyondViewport": true });
    let picture = page.call("Page.captureScreenshot", &whole);
    let file = folder.join(format!("{name}.png"));
    let text = folder.join(format!("{name}.base64"));
    std::fs::write(&text, picture["data"].as_str().unwrap_or_default()).expect("written");
    let decoded = Command::new("base64").arg("-d").arg(&text).output().expect("base64");
    std::fs::write(file, decoded.stdout).expect("written");
    let _ = std::fs::remove_file(text);
}

pub(crate) fn a_phone_needs_no_scrolling_sideways() {
    let mut page = Page::new();
    for (name, plan) in [("phone", plan()), ("phone-hostile", hostile())] {
        page.size(360, 2_400);
        page.show(&page_of(&plan));
        assert_eq!(page.eval(OVERFLOW), json!([360, 360]), "{name}");
        shot(&mut page, name);
        page.eval(UNFOLD);
        assert_eq!(page.eval(OVERFLOW), json!([360, 360]), "{name}, unfolded");
        // Touch targets are large enough for a finger.
        let low = page.eval("Math.min(...[...document.querySelectorAll('.row')].map((row) => row.offsetHeight))");
        assert!(low.as_f64().is_some_and(|low| low >= 44.0), "{low}");
    }
}

pub(crate) fn it_can_be_read_by_day_and_by_night() {
    let mut page = Page::new();
    page.size(1_280, 1_300);
    let mut grounds = Vec::new();
    for theme in ["light", "dark"] {
        page.media("screen", "prefers-color-scheme", theme);
        page.show(&page_of(&plan()));
        page.click("#row-3");
        page.eval("scrollTo(0, 0)");
        shot(&mut page, theme);
        grounds.push(page.eval("getComputedStyle(document.documentElement).backgroundColor"));
        page.eval(UNFOLD);
        // High enough for the whole page: a text outside the screen has no background.
        for (width, height) in [(1_280, 6_000), (360, 9_000)] {
            page.size(width, height);
            let contrasts = page.eval(CONTRASTS);
            let least: &[Value] = contrasts.as_array().map_or(&[], Vec::as_slice);
            assert!(least.len() > 100, "{} texts", least.len());
            let worst = &least[0];
            assert!(
                worst[0].as_f64().is_some_and(|ratio| ratio >= CONTRAST_MIN),
                "{theme}, {width}: {:?}",
                &least[..4]
            );
        }
        page.size(1_280, 1_300);
    }
    assert_ne!(grounds[0], grounds[1], "day and night differ");
}

pub(crate) fn paper_and_calm() {
    let mut page = Page::new();
    page.size(1_280, 1_300);
    page.show(&page_of(&plan()));
    page.media("print", "prefers-reduced-motion", "reduce");
    let shown = "[...document.querySelectorAll('.panel')].filter((panel) => panel.checkVisibility()).length";
    assert_eq!(page.eval(shown), plan().steps.len());
    let moving = "[...document.querySelectorAll('*')].filter((element) => \
                  getComputedStyle(element).transitionDuration.split(', ').some((time) => parseFloat(time) > 0)).length";
    assert_eq!(page.eval(moving), 0);
    page.media("screen", "prefers-reduced-motion", "no-preference");
    assert_ne!(page.eval(moving), 0, "otherwise the check above proves nothing");
    assert_eq!(page.eval(shown), 1);
}
