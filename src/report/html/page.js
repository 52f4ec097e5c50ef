"use strict";
// Shows one panel at a time. Without the script all panels are shown, one below the other.
(() => {
  const rows = [...document.querySelectorAll(".row")];
  if (rows.length === 0) return;
  const list = document.querySelector(".list-of-rows");
  const panels = rows.map((row) => document.getElementById(row.hash.slice(1)));
  const edges = [...document.querySelectorAll(".arrows g")];
  const windows = [...document.querySelectorAll(".window")];

  document.documentElement.classList.add("js");
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-orientation", "vertical");
  rows.forEach((row, at) => {
    row.parentElement.setAttribute("role", "presentation");
    row.setAttribute("role", "tab");
    row.setAttribute("aria-controls", panels[at].id);
    panels[at].setAttribute("role", "tabpanel");
    panels[at].setAttribute("aria-labelledby", row.id);
  });

  function select(at) {
    rows.forEach((row, other) => {
      const chosen = other === at;
      row.setAttribute("aria-selected", String(chosen));
      row.tabIndex = chosen ? 0 : -1;
      panels[other].hidden = !chosen;
    });
    for (const edge of edges) {
      const touches = [edge.dataset.from, edge.dataset.to].includes(String(at));
      edge.classList.toggle("on", touches);
    }
    for (const window of windows) {
      window.setAttribute("x", rows[at].dataset.x);
      window.setAttribute("width", rows[at].dataset.width);
    }
  }

  // On a narrow screen the panel is below the time line.
  function show(at) {
    select(at);
    panels[at].scrollIntoView({ block: "nearest" });
  }

  rows.forEach((row, at) => {
    row.addEventListener("click", (event) => {
      event.preventDefault();
      row.focus({ preventScroll: true });
      show(at);
    });
    row.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const last = rows.length - 1;
      const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (event.key === " " || event.key === "Enter") {
        event.preventDefault();
        show(at);
      } else if (to !== undefined) {
        event.preventDefault();
        const next = Math.min(Math.max(to, 0), last);
        select(next);
        rows[next].focus();
      }
    });
  });

  // A link to another step leads to its row.
  document.querySelector(".panels").addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#step-']");
    if (!link) return;
    event.preventDefault();
    const at = panels.findIndex((panel) => `#${panel.id}` === link.hash);
    if (at < 0) return;
    select(at);
    rows[at].focus();
  });

  const target = panels.findIndex((panel) => `#${panel.id}` === location.hash);
  select(target < 0 ? 0 : target);
})();
