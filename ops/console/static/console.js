// Theme, keys, dialogs and charts of the pages. Without this script, the pages show everything but the charts.
"use strict";
(() => {
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const theme = () => localStorage.getItem("theme") || "auto";
  const paint = () => { root.dataset.theme = theme(); };
  // Before the page is drawn, so that it does not flash in another theme.
  paint();

  const label = () => {
    for (const button of document.querySelectorAll("[data-theme-button]")) button.textContent = `Theme: ${theme()}`;
  };

  document.addEventListener("click", (event) => {
    // For browsers without the attributes `command` and `commandfor`; newer ones open and close dialogs themselves.
    const button = event.target.closest("[commandfor]");
    if (button && !("command" in HTMLButtonElement.prototype)) {
      const dialog = document.getElementById(button.getAttribute("commandfor"));
      if (button.getAttribute("command") === "close") dialog.close(); else dialog.showModal();
    }
    const cut = event.target.closest(".cut:not(a)");
    if (cut && getSelection().isCollapsed) cut.classList.toggle("whole");
    if (event.target.closest("[data-theme-button]")) {
      localStorage.setItem("theme", themes[(themes.indexOf(theme()) + 1) % themes.length]);
      paint();
      label();
      drawAll();
    }
  });

  // A text that a list cuts is whole in its tooltip.
  document.addEventListener("mouseover", (event) => {
    const cut = event.target.closest(".cut, .rows :is(.row-link, .quiet-link, .tag)");
    if (cut && (cut.scrollHeight > cut.clientHeight + 1 || cut.scrollWidth > cut.clientWidth + 1)) cut.title = cut.textContent;
  });

  // Charts, in the colours of the style. Each has {"x": [seconds], "series": [{"label", "values", "fill", "dash", "colour"}],
  // "top": the least height of the y axis, "whole": true if its labels are whole numbers only, as for counts}.
  const drawn = new Map();
  const short = new Intl.NumberFormat("en", { notation: "compact" });
  const hourAndMinute = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
  function draw(figure) {
    const said = JSON.parse(figure.dataset.chart);
    // A canvas cannot use CSS variables, so their values are read from an element that does.
    const probe = figure.appendChild(document.createElement("i"));
    const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: figure.clientWidth, height: 190, padding: [12, 22, 0, 0], legend: { show: false }, cursor: { y: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high * 1.1, said.top || 1)] } },
      axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map(hourAndMinute) }, { ...axis, size: 48, values: (_, ticks) => ticks.map((one) => said.whole && !Number.isInteger(one) ? "" : short.format(one)) }],
      series: [{}, ...said.series.map((one, index) => ({
        label: one.label, width: 2, dash: one.dash, spanGaps: true, points: { show: false },
        stroke: colour(one.colour || (index ? "warn" : "accent")),
        fill: one.fill ? colour("accent-soft") : undefined,
      }))],
    };
    probe.remove();
    const old = drawn.get(figure);
    if (old) old.destroy();
    drawn.set(figure, new uPlot(options, [said.x, ...said.series.map((one) => one.values)], figure));
  }
  function drawAll() {
    if (typeof uPlot === "undefined") return;
    for (const figure of drawn.keys()) if (!figure.isConnected) drawn.delete(figure);
    for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
  }

  // Keys. `g` and then the key of a page opens that page.
  let goes = false;
  const keysAreOn = () => localStorage.getItem("keys") !== "off";
  function rows(step) {
    const links = [...document.querySelectorAll(".row-link")];
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, at + step))].focus();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keysAreOn()) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
    if (goes) {
      goes = false;
      document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
      return;
    }
    if (event.key === "g") { goes = true; setTimeout(() => { goes = false; }, 1500); }
    else if (event.key === "j") rows(1);
    else if (event.key === "k") rows(-1);
    else if (event.key === "r") location.reload();
    else if (event.key === "?") document.getElementById("keys")?.showModal();
    else if (event.key === "p") document.querySelector("[data-pause]")?.click();
    else if (event.key === "/") { event.preventDefault(); document.querySelector("main input:not([type=hidden])")?.focus(); }
  });

  // Parts that reload themselves wait while the page is hidden, a dialog is open or text is selected.
  const polls = (event) => event.target.hasAttribute("data-poll");
  document.addEventListener("htmx:beforeRequest", (event) => {
    const reads = document.querySelector("dialog[open]") || !getSelection().isCollapsed;
    if (polls(event) && (document.hidden || reads)) event.preventDefault();
  });
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      // The next answer replaces the whole line, and with it this mark.
      if (!polls(event) || document.querySelector(".stale")) return;
      const mark = document.createElement("span");
      mark.className = "mark unhealthy stale";
      mark.textContent = "no answer";
      document.getElementById("vital").prepend(mark);
    });
  }
  // After a part is replaced, focus, scrolling, and opened and uncut texts in it are as they were before.
  let held = null;
  const whereabouts = (element) => ["href", "aria-label", "commandfor"].map((name) => element.getAttribute(name)).join(" ");
  document.addEventListener("htmx:beforeSwap", () => {
    const at = document.activeElement;
    held = {
      at: at.closest("#live") ? whereabouts(at) : null,
      lefts: [...document.querySelectorAll("#live .scroll")].map((region) => region.scrollLeft),
      whole: [...document.querySelectorAll("#live details[open] > summary, #live .cut.whole")].map((one) => one.textContent),
    };
  });
  document.addEventListener("htmx:afterSettle", () => {
    drawAll();
    if (!held) return;
    document.querySelectorAll("#live .scroll").forEach((region, index) => { region.scrollLeft = held.lefts[index] || 0; });
    for (const one of document.querySelectorAll("#live details > summary, #live .cut")) {
      if (!held.whole.includes(one.textContent)) continue;
      if (one.localName === "summary") one.parentElement.open = true; else one.classList.add("whole");
    }
    if (held.at && document.activeElement === document.body) {
      [...document.querySelectorAll("#live a, #live [tabindex], #live [commandfor]")].find((one) => whereabouts(one) === held.at)?.focus({ preventScroll: true });
    }
    held = null;
  });

  document.addEventListener("DOMContentLoaded", () => {
    label();
    drawAll();
    // With many aggregates, the navigation is longer than the window: the link of this page is scrolled into view.
    document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest" });
    addEventListener("resize", drawAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    const keys = document.querySelector("[data-keys-switch]");
    if (keys) {
      keys.checked = keysAreOn();
      keys.addEventListener("change", () => localStorage.setItem("keys", keys.checked ? "on" : "off"));
    }
  });
})();
