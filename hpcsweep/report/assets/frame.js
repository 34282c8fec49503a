"use strict";
// The frame of a report: it shows one page at a time, and draws a page when it is opened, or printed.
Object.assign(report, (() => {
  const { element } = report;
  const draws = new Map();  // by page: the function that draws it
  const given = new Map();  // by page: its data, once it is unpacked
  const drawn = new Set();  // pages that are up to date
  const sections = () => [...document.querySelectorAll("main > section")];
  const rootOf = (name) => document.querySelector(`[data-page="${name}"]`);

  async function draw(name) {
    const root = rootOf(name);
    if (drawn.has(name) || !draws.has(name) || !root) return;  // no root: a page that could not be made
    drawn.add(name);
    try {
      if (!given.has(name)) {
        if (!("DecompressionStream" in window)) throw new Error("this browser cannot unpack the data; a newer one can");
        given.set(name, JSON.parse(await report.unpack(`data-${name}`)));
      }
      root.replaceChildren();
      await draws.get(name)(root, given.get(name));
      report.chooseAgain(root);
    } catch (error) {
      root.append(element("p", { class: "problem", text: `This page could not be drawn: ${error.message}` }));
      console.error(error);
    }
  }

  function redraw(...names) {
    for (const name of names.length ? names : draws.keys()) drawn.delete(name);
    return draw(current().id);
  }

  // --- the page that is open ----------------------------------------------------------------------

  const current = () => sections().find((one) => `#${one.id}` === location.hash) ?? sections()[0];

  function open() {
    const chosen = current();
    for (const one of sections()) one.classList.toggle("open", one === chosen);
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash !== `#${chosen.id}`) { link.removeAttribute("aria-current"); continue; }
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
    scrollTo(0, 0);
    return draw(chosen.id);
  }

  function addCopyButtons(root) {
    for (const one of root.querySelectorAll(".command")) one.after(report.copyButton(one.textContent));
  }

  // A newer section of the live page takes the place of the one that is shown.
  function receive(section) {
    const old = document.getElementById(section.id);
    section.className = old.className;
    for (const [at, one] of [...old.querySelectorAll("details")].entries())
      section.querySelectorAll("details")[at]?.toggleAttribute("open", one.open);
    old.replaceWith(section);
    addCopyButtons(section);
    given.delete(section.id);
    return redraw(section.id);
  }

  // --- paper --------------------------------------------------------------------------------------

  // Print all pages. They are drawn before: a browser that prints waits for nothing.
  async function print() {
    if (report.isPaper()) return;
    document.documentElement.classList.add("paper");
    drawn.clear();
    for (const name of draws.keys()) await draw(name);
    addEventListener("afterprint", () => {
      document.documentElement.classList.remove("paper");
      redraw();
    }, { once: true });
    window.print();
  }

  // The browser's own menu prints at once, so that pages which were never opened have no figures.
  function prepare() {
    for (const one of document.querySelectorAll("details:not(.choice)")) one.open = true;
    for (const name of draws.keys()) {
      if (!drawn.has(name)) rootOf(name)?.querySelector(".note")?.replaceChildren("The figures of this page were not drawn. “Print all pages”, at the end of the report, prints them.");
    }
  }

  function printByKey(event) {
    if (event.key !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    print();
  }

  function start() {
    document.documentElement.classList.add("js");
    addCopyButtons(document);
    addEventListener("hashchange", open);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => report.isPaper() || redraw());
    let last = innerWidth, timer = null;
    addEventListener("resize", () => {
      if (innerWidth === last) return;
      last = innerWidth; clearTimeout(timer); timer = setTimeout(() => report.isPaper() || redraw(), 200);
    });
    addEventListener("beforeprint", prepare);
    addEventListener("keydown", printByKey);
    document.querySelector("footer").append(" ", element("button", { type: "button", class: "copy", text: "Print all pages", click: print }));
    open();
  }
  document.addEventListener("DOMContentLoaded", start);

  return { page: (name, of) => draws.set(name, of), receive, redraw, draw };
})());
