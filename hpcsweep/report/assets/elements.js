"use strict";
// Elements of a page: text only, never markup. The other scripts add to `report`.
const report = (() => {
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

  // --- texts --------------------------------------------------------------------------------------

  // The text of a number in 5 digits, with a thin space between thousands.
  function number(value) {
    if (value == null) return "–";
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
    if (Number.isInteger(value)) return size < 1e4 ? String(value) : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
    return String(Number(value.toPrecision(5)));
  }

  const plural = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;

  // A duration in the unit that suits it.
  function duration(seconds) {
    if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    return `${number(Number((seconds / 3600).toPrecision(3)))} h`;
  }

  // --- parts of a page ----------------------------------------------------------------------------

  const note = (root, text, kind = "note") => root.append(element("p", { class: kind, text }));

  function table(root, { head, rows, numbers = [] }) {
    const kind = (at) => (numbers.includes(at) ? { class: "number" } : {});
    const long = (value) => (typeof value === "string" && value.length > 40 ? value : null);
    const made = element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((text, at) => element("th", { scope: "col", text, ...kind(at) })))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((value, at) =>
        element("td", { text: number(value), title: long(value), ...kind(at) }))))));
    root.append(element("div", { class: "scroll", tabindex: "0" }, made));
    return made;
  }

  function copyButton(text) {
    const button = element("button", { type: "button", class: "copy", text: "Copy", click: async () => {
      try { await navigator.clipboard.writeText(text); }
      catch { // a page from a file may not use the clipboard everywhere
        const area = element("textarea", { text });
        document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      }
      button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } });
    return button;
  }

  // --- labelled choices, which a page keeps when it is drawn anew ---------------------------------

  // By page: what was chosen by label, in the order of the choices.
  const choices = new Map();

  // A labelled choice among [value, text] pairs; `changed` gets the value.
  function select(root, label, pairs, value, changed) {
    const made = element("select", { change: () => { remember(made, label, made.selectedOptions[0].text); changed(made.value); } },
      ...pairs.map(([of, text]) => element("option", { value: of, text, selected: String(of) === String(value) })));
    root.append(element("label", {}, label, made));
    return made;
  }

  // A labelled field, for a number unless `attributes` say what for; `changed` is called without it.
  function field(root, label, attributes, changed) {
    const made = element("input", { type: "number", step: "any", ...attributes, change: () => { remember(made, label, made.value); changed(); } });
    root.append(element("label", {}, label, made));
    return made;
  }

  function remember(made, label, text) {
    const { page } = made.closest("[data-page]").dataset;
    if (!choices.has(page)) choices.set(page, new Map());
    choices.get(page).delete(label);
    choices.get(page).set(label, text);
  }

  function forget(made) {
    choices.get(made.closest("[data-page]").dataset.page)?.delete(made.parentElement.firstChild.textContent);
  }

  // Choose again what was chosen on a page before it was drawn anew, as far as it is there.
  function chooseAgain(root) {
    for (const [label, text] of [...choices.get(root.dataset.page) ?? []]) {
      const box = [...root.querySelectorAll("label")].find((one) => one.firstChild.textContent === label);
      const made = box?.querySelector("select, input:not([type=checkbox])");
      const value = made?.matches("select") ? [...made.options].find((one) => one.text === text)?.value : text;
      if (!made || value === undefined || made.value === value) continue;
      made.value = value;
      made.dispatchEvent(new Event("change"));
    }
  }

  return { element, number, plural, duration, note, table, copyButton, select, field, forget, chooseAgain };
})();
