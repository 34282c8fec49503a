"use strict";
// Figures, drawn with Vega-Lite in the colours of the page; libraries and data are packed in the file.
Object.assign(report, (() => {
  const { element, number } = report;
  const views = new Set();  // of all figures that are shown
  const main = document.getElementById("main");
  // Pixels between the margins of a printed page: A4, and a little less.
  const PAPER_WIDTH = 680;

  async function unpack(id) {
    const text = atob(document.getElementById(id).textContent.trim()), bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
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

  // --- colours and sizes --------------------------------------------------------------------------

  const COLOURS = {
    light: ["#2f6f9f", "#d1792b", "#3d8b5f", "#b04a4a", "#7a5aa0", "#8a6d4d", "#c46a9b", "#6d7780", "#9a9a2e", "#2a9a9f"],
    dark: ["#6aaede", "#eba55f", "#6cc296", "#e5817c", "#b093d6", "#c3a482", "#e59cc4", "#a7b1ba", "#cccc66", "#62c8cd"],
  };

  // Whether figures are drawn for paper: light, as wide as a sheet, and sharp.
  const isPaper = () => document.documentElement.classList.contains("paper");
  const isDark = () => !isPaper() && matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function theme() {
    const [ink, soft, line] = ["ink", "soft", "line"].map(colour);
    const text = { labelColor: soft, titleColor: ink, labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: 500 };
    return {
      font: getComputedStyle(document.body).fontFamily, background: null, padding: 4,
      view: { stroke: null },
      axis: { ...text, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.6, labelLimit: 140, labelSeparation: 5, titleLimit: 320, titlePadding: 8 },
      legend: { ...text, symbolSize: 70, labelLimit: 160, titleLimit: 200, gradientLength: 160 },
      header: { ...text, labelLimit: 200 },
      range: { category: COLOURS[isDark() ? "dark" : "light"], ramp: { scheme: "viridis" }, heatmap: { scheme: "viridis" } },
      mark: { color: colour("mark") },
    };
  }

  // Pixels that a figure may be wide; hidden pages have no width of their own.
  function width() {
    const style = getComputedStyle(main);
    const wide = main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return isPaper() ? Math.min(wide, PAPER_WIDTH) : wide;
  }

  const isNarrow = () => width() < 500;

  // --- what the pointer is at ---------------------------------------------------------------------

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

  // --- figures ------------------------------------------------------------------------------------

  function saveButton(view, kind, name) {
    return element("button", { type: "button", text: kind.toUpperCase(), title: `Save this figure as ${kind.toUpperCase()}`, click: async () => {
      const href = await view.toImageURL(kind, 2);
      element("a", { href, download: `${name.replace(/[^\w-]+/g, "-").slice(0, 60)}.${kind}` }).click();
    } });
  }

  function forgetRemoved() {
    for (const view of views) if (!view.container()?.isConnected) { view.finalize(); views.delete(view); }
  }

  // Draw a Vega-Lite specification below `root`. `title` is read aloud; `note` stands below, and on a screen `how` to use it.
  // `tip` makes what a tooltip shows of a datum: a mapping or a text.
  async function chart(root, { title, note = "", how = "", spec, tip: shown = (datum) => datum }) {
    const canvas = element("div", { class: "canvas" });
    const caption = element("figcaption", {}, element("span", { class: "text", text: note }), element("span", { class: "how", text: how }));
    root.append(element("figure", { "aria-label": title }, canvas, caption));
    forgetRemoved();
    await libraries();
    const whole = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", description: title, width: width() - 12, autosize: { type: "fit-x", contains: "padding" }, ...spec };
    const { view } = await vegaEmbed(canvas, whole, {
      ast: true, renderer: isPaper() ? "svg" : "canvas", actions: false, defaultStyle: false, config: theme(),
      tooltip: (handler, event, item, value) => showTip(event, value == null || !item.datum ? null : shown(item.datum)),
      mode: "vega-lite",
    });
    caption.append(element("span", { class: "save" }, "Save as ", saveButton(view, "png", title), " ", saveButton(view, "svg", title)));
    views.add(view);
    return view;
  }

  return { unpack, libraries, chart, views, width, isNarrow, colour, isDark, isPaper };
})());
