"use strict";
// The frame of a report: it shows one page at a time, unpacks data, and draws figures with Vega-Lite.
const report = (() => {
  const draws = new Map();   // by page: the function that draws it
  const given = new Map();   // by page: its data, once it is unpacked
  const drawn = new Set();   // pages that are up to date
  const views = new Set();   // of all figures that are shown
  const choices = new Map();  // by page: the text that was chosen by label, in the order of the choices
  const main = document.getElementById("main");

  // --- elements: text only, never markup ---------------------------------------------------------

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") made.textContent = value;
      else if (typeof value === "function") made.addEventListener(name, value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child != null));
    return made;
  }

  // The text of a number in 5 digits, with a thin space between thousands.
  function number(value) {
    if (value == null) return "–";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
    if (Number.isInteger(value)) return size < 1e4 ? String(value) : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
    return String(Number(value.toPrecision(5)));
  }

  function table(root, { head, rows, numbers = [] }) {
    const kind = (at) => (numbers.includes(at) ? { class: "number" } : {});
    const made = element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((text, at) => element("th", { scope: "col", text, ...kind(at) })))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((value, at) =>
        element("td", { text: number(value), title: typeof value === "string" && value.length > 40 ? value : null, ...kind(at) }))))));
    root.append(element("div", { class: "scroll", tabindex: "0" }, made));
    return made;
  }

  // A labelled choice among [value, text] pairs; `changed` gets the value.
  function select(root, label, pairs, value, changed) {
    const made = element("select", { change: () => { remember(made, label); changed(made.value); } },
      ...pairs.map(([of, text]) => element("option", { value: of, text, selected: String(of) === String(value) })));
    root.append(element("label", {}, label, made));
    return made;
  }

  function remember(made, label) {
    const { page } = made.closest("[data-page]").dataset;
    if (!choices.has(page)) choices.set(page, new Map());
    choices.get(page).delete(label);
    choices.get(page).set(label, made.selectedOptions[0].text);
  }

  // Choose again what was chosen on a page before it was drawn anew, as far as it is there.
  function chooseAgain(root) {
    for (const [label, text] of [...choices.get(root.dataset.page) ?? []]) {
      const box = [...root.querySelectorAll("label")].find((one) => one.firstChild.textContent === label);
      const option = [...box?.querySelector("select")?.options ?? []].find((one) => one.text === text);
      if (!option || option.selected) continue;
      option.selected = true;
      option.parentElement.dispatchEvent(new Event("change"));
    }
  }

  function copyButton(text, label = "Copy") {
    const button = element("button", { type: "button", class: "copy", text: label, click: async () => {
      try { await navigator.clipboard.writeText(text); }
      catch { // a page from a file may not use the clipboard everywhere
        const area = element("textarea", { text });
        document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      }
      button.textContent = "Copied"; setTimeout(() => { button.textContent = label; }, 1500);
    } });
    return button;
  }

  // --- data and libraries, packed in the file -----------------------------------------------------

  async function unpack(id) {
    const text = document.getElementById(id).textContent.trim();
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  let loaded = null;
  function libraries() {
    loaded ??= (async () => {
      for (const packed of document.querySelectorAll("script[id^=library-]")) {
        const text = await unpack(packed.id);
        document.head.append(element("script", { text }));  // runs, as the policy has its hash
      }
    })();
    return loaded;
  }

  // --- figures ------------------------------------------------------------------------------------

  const COLOURS = {
    light: ["#2f6f9f", "#d1792b", "#3d8b5f", "#b04a4a", "#7a5aa0", "#8a6d4d", "#c46a9b", "#6d7780", "#9a9a2e", "#2a9a9f"],
    dark: ["#6aaede", "#eba55f", "#6cc296", "#e5817c", "#b093d6", "#c3a482", "#e59cc4", "#a7b1ba", "#cccc66", "#62c8cd"],
  };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  function theme() {
    const [ink, soft, line] = ["ink", "soft", "line"].map(colour);
    const text = { labelColor: soft, titleColor: ink, labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: 500 };
    return {
      font: getComputedStyle(document.body).fontFamily, background: null, padding: 4,
      view: { stroke: null },
      axis: { ...text, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.6, labelLimit: 140, labelSeparation: 5, titleLimit: 320, titlePadding: 8 },
      legend: { ...text, symbolSize: 70, labelLimit: 160, titleLimit: 200, gradientLength: 160 },
      header: { labelColor: soft, titleColor: ink, labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: 500, labelLimit: 200 },
      range: { category: COLOURS[isDark() ? "dark" : "light"], ramp: { scheme: "viridis" }, heatmap: { scheme: "viridis" } },
      mark: { color: colour("mark") },
    };
  }

  // Pixels that a figure may be wide; hidden pages have no width of their own.
  function width() {
    const style = getComputedStyle(main);
    return main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  }

  const tip = element("div", { id: "tip", role: "status" });
  document.body.append(tip);

  function showTip(event, value) {
    tip.classList.toggle("shown", value != null && value !== "");
    if (value == null) return;
    tip.textContent = typeof value === "object"
      ? Object.entries(value).map(([name, of]) => `${name}: ${number(of)}`).join("\n") : String(value);
    const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const y = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18;
    tip.style.left = `${Math.max(4, x)}px`;
    tip.style.top = `${Math.max(4, y)}px`;
  }

  function saveButton(view, kind, name) {
    return element("button", { type: "button", text: kind.toUpperCase(), title: `Save this figure as ${kind.toUpperCase()}`, click: async () => {
      const href = await view.toImageURL(kind, 2);
      element("a", { href, download: `${name.replace(/[^\w-]+/g, "-").slice(0, 60)}.${kind}` }).click();
    } });
  }

  // Draw a Vega-Lite specification below `root`. `title` is read aloud; `note` stands below.
  // `tip` makes what a tooltip shows of a datum: a mapping or a text.
  async function chart(root, { title, note = "", spec, tip: shown = (datum) => datum }) {
    const canvas = element("div", { class: "canvas" });
    const caption = element("figcaption", {}, element("span", { class: "text", text: note }));
    const figure = element("figure", { "aria-label": title }, canvas, caption);
    root.append(figure);
    for (const view of views) if (!view.container()?.isConnected) { view.finalize(); views.delete(view); }
    await libraries();
    const whole = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", description: title, width: width() - 12, autosize: { type: "fit-x", contains: "padding" }, ...spec };
    const { view } = await vegaEmbed(canvas, whole, {
      ast: true, renderer: "canvas", actions: false, defaultStyle: false, config: theme(),
      tooltip: (handler, event, item, value) => showTip(event, value == null || !item.datum ? null : shown(item.datum)),
      mode: "vega-lite",
    });
    caption.append(element("span", { class: "save" }, "Save as ", saveButton(view, "png", title), " ", saveButton(view, "svg", title)));
    views.add(view);
    return view;
  }

  // --- pages --------------------------------------------------------------------------------------

  async function draw(name) {
    if (drawn.has(name) || !draws.has(name)) return;
    const root = document.querySelector(`[data-page="${name}"]`);
    if (!root) return;  // a page that could not be made
    drawn.add(name);
    try {
      if (!given.has(name)) {
        if (!("DecompressionStream" in window)) throw new Error("this browser cannot unpack the data; a newer one can");
        given.set(name, JSON.parse(await unpack(`data-${name}`)));
      }
      root.replaceChildren();
      await draws.get(name)(root, given.get(name));
      chooseAgain(root);
    } catch (error) {
      root.append(element("p", { class: "problem", text: `This page could not be drawn: ${error.message}` }));
      console.error(error);
    }
  }

  function current() {
    const sections = [...document.querySelectorAll("main > section")];
    return sections.find((one) => `#${one.id}` === location.hash) ?? sections[0];
  }

  function open() {
    const chosen = current();
    for (const one of document.querySelectorAll("main > section")) one.classList.toggle("open", one === chosen);
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash !== `#${chosen.id}`) { link.removeAttribute("aria-current"); continue; }
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    }
    scrollTo(0, 0);
    return draw(chosen.id);
  }

  function addCopyButtons(root) {
    for (const one of root.querySelectorAll(".command")) one.after(copyButton(one.textContent));
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

  function redraw(...names) {
    for (const name of names.length ? names : draws.keys()) drawn.delete(name);
    return draw(current().id);
  }

  function start() {
    document.documentElement.classList.add("js");
    addCopyButtons(document);
    addEventListener("hashchange", open);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
    let last = innerWidth, timer = null;
    addEventListener("resize", () => {
      if (innerWidth === last) return;
      last = innerWidth; clearTimeout(timer); timer = setTimeout(() => redraw(), 200);
    });
    addEventListener("beforeprint", () => {
      for (const one of document.querySelectorAll("details:not(.choice)")) one.open = true;
    });
    const print = async () => { for (const name of draws.keys()) await draw(name); window.print(); };
    document.querySelector("footer").append(" ", element("button", { type: "button", class: "copy", text: "Print all pages", click: print }));
    open();
  }
  document.addEventListener("DOMContentLoaded", start);

  return { page: (name, of) => draws.set(name, of), receive, redraw, draw, libraries, element, number, table, select, copyButton, chart, width, colour, isDark, views };
})();
