"use strict";
report.page("results", async (root, data) => {
  const { element, chart, select, number, columns: of } = report;
  const all = data.columns;
  const params = all.filter((one) => one.role === "param" && of.different(one).length > 1);
  const numbers = all.filter((one) => of.isNumber(one) && one.role !== "param");
  const metrics = numbers.filter((one) => one.role === "metric");
  const cubes = data.cubes;
  const byName = new Map(all.map((one) => [one.name, one]));
  const said = (text) => root.append(element("p", { text }));

  if (!data.complete) { said("No case is complete yet: there are no results to show."); return; }
  said(`${number(data.complete)} of ${number(data.cases)} cases are complete.` +
    (cubes ? ` The figures are of all of them, put into bins; single cases are a sample of ${data.index.length}, evenly spaced.` : ""));
  for (const note of data.notes) root.append(element("p", { class: "note", text: note }));
  if (!metrics.length) said("No metric is a number, so that the figures show what the cases used.");
  const drawable = metrics.length ? [...metrics, ...numbers.filter((one) => one.role === "used")] : numbers;
  if (!drawable.length) { said("There is no number to draw."); cases(null, []); return; }

  // --- what to draw -------------------------------------------------------------------------------

  const gridded = cubes ? params : params.filter(of.isGridded);  // bins are a grid
  const inOrder = (some) => [...some].sort((a, b) => of.isNumber(b) - of.isNumber(a) || of.different(b).length - of.different(a).length);
  const isFew = (one) => of.different(one).length <= 12;
  const without = (some, ...others) => some.filter((one) => one && !others.includes(one));
  const first = inOrder(without(params, byName.get("replicate")))[0] ?? params[0] ?? drawable[0];
  const second = inOrder(without(gridded, first, byName.get("replicate")).filter((one) => of.different(one).length <= (cubes ? 32 : 10)))[0];
  const chosen = { kind: gridded.includes(first) ? "means" : "cases", x: first, y: without(drawable, first)[0] ?? drawable[0], colour: second ?? null, facet: null };
  if (cubes && !cubes.axes.some((one) => one.name === chosen.y.name)) chosen.y = drawable.find((one) => cubes.metrics.includes(one.name)) ?? chosen.y;

  const controls = element("div", { class: "controls" });
  const place = element("div", {});
  root.append(controls, place);
  const selected = { figure: null, axes: null };
  let lines = null, view = null;

  function showControls() {
    controls.replaceChildren();
    const kinds = [["means", "Means"], ["cases", cubes ? "Counts" : "Every case"], ["heat", "Heat map"]];
    select(controls, "Figure", kinds.filter(([kind]) => kind !== "heat" || gridded.length > 1 || cubes), chosen.kind, (kind) => {
      chosen.kind = kind;
      if (kind === "heat") {
        const [a, b] = inOrder(without(gridded, byName.get("replicate")).length > 1 ? without(gridded, byName.get("replicate")) : gridded);
        if (!gridded.includes(chosen.x)) chosen.x = a;
        chosen.colour = drawable.includes(chosen.y) ? chosen.y : drawable[0];
        chosen.y = chosen.x === a ? b : a;
        chosen.facet = null;
      } else if (!drawable.includes(chosen.y)) { chosen.y = drawable.includes(chosen.colour) ? chosen.colour : drawable[0]; chosen.colour = second === chosen.x ? null : second ?? null; }
      update();
    });
    const isHeat = chosen.kind === "heat", usable = cubes ? drawable.filter((one) => cubes.metrics.includes(one.name)) : drawable;
    const choices = {
      x: isHeat ? gridded : chosen.kind === "means" ? params : [...params, ...usable],
      y: isHeat ? without(gridded, chosen.x) : usable,
      colour: isHeat ? usable : [null, ...without([...params, ...(chosen.kind === "cases" && !cubes ? usable : [])], chosen.x)],
      facet: [null, ...without(gridded.filter(isFew), chosen.x, chosen.colour, isHeat ? chosen.y : null)],
    };
    if (cubes) choices.facet = [null];
    if (cubes && chosen.kind === "cases") choices.colour = [null];
    for (const [axis, some] of Object.entries(choices)) {
      if (!some.includes(chosen[axis])) chosen[axis] = some[0] ?? null;
      if (some.length < 2 && some[0] == null) continue;
      select(controls, axis, some.map((one) => [one ? all.indexOf(one) : -1, one ? one.name : "none"]),
        chosen[axis] ? all.indexOf(chosen[axis]) : -1, (at) => { chosen[axis] = all[at] ?? null; update(); });
    }
  }

  // --- figures ------------------------------------------------------------------------------------

  const discrete = (one) => !of.isNumber(one) || (one.role === "param" && isFew(one));
  const axisOf = (field, one, kind = of.isNumber(one) ? "quantitative" : "nominal") => ({
    field, type: kind, title: one.name,
    ...(kind === "quantitative" ? { axis: { tickCount: field === "y" || report.width() < 500 ? 6 : 12 }, scale: of.isLogarithmic(one) ? { type: "log", nice: false } : { zero: false } } : { sort: null, axis: { labelAngle: 0, labelOverlap: true } }),
  });
  const colourOf = (one) => (one == null ? {} : { color: {
    field: "c", title: one.name, type: !of.isNumber(one) ? "nominal" : discrete(one) ? "ordinal" : "quantitative",
    ...(of.isNumber(one) ? { scale: { scheme: { name: "viridis", extent: report.isDark() ? [0.15, 1] : [0, 0.88] }, ...(!discrete(one) && of.isLogarithmic(one) ? { type: "log" } : {}) } } : { sort: of.different(one) }),
    legend: report.width() < 500 ? { orient: "top", columns: 3 } : {},
  } });
  const faded = { condition: { test: "datum.s === false", value: 0.1 }, value: 0.85 };

  function points() {
    const { kind, x, y, colour, facet } = chosen;
    if (kind === "cases") {
      const rows = [];
      for (let at = 0; at < data.index.length; at++) {
        const point = { x: of.value(x, at), y: y.values[at], c: colour && of.value(colour, at), f: facet && of.value(facet, at), rows: [at], n: 1 };
        if (point.x != null && point.y != null && (!colour || point.c != null) && (!facet || point.f != null)) rows.push(point);
      }
      return { rows, text: "One point for each case." };
    }
    const by = kind === "heat" ? [x, y, facet] : [x, colour, facet];
    const measured = kind === "heat" ? colour : y;
    const groups = cubes ? fromCubes(by.filter(Boolean), measured) : of.means(data.index.length, by.filter(Boolean), measured);
    const over = cubes ? without(params, ...by) : of.pooled(without(params, ...by), groups);
    const rows = groups.map(({ keys, mean, sd, n, rows: some }) => {
      const [at, ...rest] = keys;
      const next = (wanted) => (wanted ? rest.shift() : null);
      return kind === "heat" ? { x: at, y: next(true), c: mean, f: next(facet), sd, n, rows: some }
        : { x: at, y: mean, c: next(colour), f: next(facet), sd, n, rows: some };
    });
    const between = cubes ? [] : without(params, ...by, ...over);
    let text = of.meansText(groups, over, kind === "heat" ? "cell" : "point");
    if (between.length) text += ` The points differ in ${between.map((one) => one.name).join(", ")}, too.`;
    const binned = cubes ? cubes.axes.filter((one) => one.is_binned && by.some((column) => column?.name === one.name)).map((one) => one.name) : [];
    if (binned.length) text += ` ${binned.join(", ")}: the middles of bins.`;
    return { rows, text, joined: !between.length };
  }

  function fromCubes(by, measured) {
    const names = by.map((one) => one.name), at = cubes.metrics.indexOf(measured.name);
    const pair = cubes.means.find((one) => names.every((name) => [one.a, one.b].includes(name)));
    if (!pair) return [];
    const centres = (name) => cubes.axes.find((one) => one.name === name).centres;
    const groups = new Map();
    pair.count.forEach((n, i) => {
      const mean = pair.mean[at][i];
      if (mean == null) return;
      const keys = names.map((name) => centres(name)[(name === pair.a ? pair.at_a : pair.at_b)[i]]);
      const key = JSON.stringify(keys), group = groups.get(key) ?? { keys, n: 0, mean: 0, rows: null };
      group.mean += ((mean - group.mean) * n) / (group.n + n); group.n += n;
      groups.set(key, group);
    });
    return [...groups.values()];
  }

  function counts() {
    const { x, y } = chosen;
    const pair = cubes.counts.find((one) => [one.a, one.b].includes(x.name) && [one.a, one.b].includes(y.name) && x !== y);
    if (!pair) return { rows: [], text: "Choose another column for x." };
    const centres = (name) => cubes.axes.find((one) => one.name === name).centres;
    const rows = pair.count.map((n, i) => {
      const value = (name) => centres(name)[(name === pair.a ? pair.at_a : pair.at_b)[i]];
      return { x: value(x.name), y: value(y.name), c: n, n };
    });
    return { rows, text: "The count of cases in each cell; the axes show the middles of bins." };
  }

  async function drawFigure() {
    const { kind, x, y, colour, facet } = chosen;
    const isCounts = cubes && kind === "cases", isCell = kind === "heat" || isCounts;
    const { rows, text, joined } = isCounts ? counts() : points();
    place.replaceChildren();
    if (!rows.length) { place.append(element("p", { class: "problem", text: `Nothing to draw. ${text}` })); return; }
    rows.sort((a, b) => (a.f > b.f) - (a.f < b.f) || (a.c > b.c) - (a.c < b.c) || (a.x > b.x) - (a.x < b.x));
    const values = rows.map(({ x, y, c, f, n, sd }, id) => ({ x, y, ...(c != null && { c }), ...(f != null && { f }), n, ...(sd != null && { sd }), id }));
    const tooltip = { content: "data" };
    const order = (key) => [...new Set(rows.map((row) => row[key]))].sort((a, b) => (typeof a === "number" ? a - b : a < b ? -1 : 1));
    // No condition on cases says which means of bins are in a range.
    const brush = { name: "brush", select: { type: "interval", clear: "dblclick", ...(cubes && kind === "means" && { encodings: ["x"] }) } };
    let unit;
    if (isCell) {
      const ordinal = (field, one, sort) => ({ field, type: "ordinal", title: one.name, sort, axis: { labelAngle: 0, labelOverlap: true, grid: false, format: order(field).every((v) => typeof v === "number") ? ".4~g" : undefined } });
      unit = {
        params: [brush], mark: { type: "rect", tooltip: true },
        encoding: {
          x: ordinal("x", x, order("x")), y: ordinal("y", y, order("y").reverse()), opacity: faded,
          color: { field: "c", type: "quantitative", title: isCounts ? "cases" : colour.name, scale: { scheme: "viridis", ...(isCounts ? { type: "symlog" } : of.isLogarithmic(colour) ? { type: "log" } : {}) }, legend: report.width() < 500 ? { orient: "top" } : {} },
        },
      };
    } else {
      const line = kind === "means" && joined && (cubes || of.different(x).length <= 200) && of.isNumber(x);
      const encoding = { x: axisOf("x", x), y: axisOf("y", y), ...colourOf(colour) };
      const marks = { params: [brush], mark: { type: "point", filled: true, size: rows.length > 2000 ? 14 : 38, tooltip: true }, encoding: { ...encoding, opacity: faded } };
      unit = line ? { layer: [{ mark: { type: "line", strokeWidth: 1.6, tooltip: false, opacity: 0.75 }, encoding }, marks] } : marks;
    }
    const height = report.width() < 500 ? 280 : isCell ? Math.min(520, 90 + 34 * order("y").length) : 380;
    const spec = { data: { name: "points", values }, ...unit, height };
    const title = `${(isCell && !isCounts ? colour : y).name} over ${x.name}${isCell && !isCounts ? ` and ${y.name}` : ""}`;
    if (facet) {
      const panels = report.width() < 500 ? 1 : Math.min(3, of.different(facet).length);
      const inner = { ...unit, width: Math.floor(report.width() / panels) - (panels > 1 ? 82 : 70) - (colour ? 60 / panels : 0), height: panels > 1 ? 240 : 260 };
      Object.assign(spec, { facet: { field: "f", type: discrete(facet) && of.isNumber(facet) ? "ordinal" : "nominal", title: facet.name, sort: null }, columns: panels, spec: inner, autosize: undefined, width: undefined, height: undefined });
      for (const key of ["layer", "mark", "encoding", "params"]) delete spec[key];
    }
    const names = { x: x.name, y: isCell || kind === "cases" ? y.name : `mean ${y.name}`, c: isCounts ? "cases" : isCell ? `mean ${colour.name}` : colour?.name, f: facet?.name, n: "cases", sd: "standard deviation" };
    view = await chart(place, { title, note: text, spec, tip: (datum) => Object.fromEntries(Object.entries(names).filter(([key, name]) => name && datum[key] != null && !(key === "n" && kind === "cases")).map(([key, name]) => [name, datum[key]])) });
    place.querySelector("figcaption .text").append(" Drag to select, double-click to select all.");
    view.addSignalListener("brush", (_, ranges) => brushed(rows, ranges ?? {}));
    selected.figure = null;
    showSelection();
    view.rowsOf = rows;
  }

  // --- the selection ------------------------------------------------------------------------------

  let timer = null;
  function brushed(rows, ranges) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const entries = Object.entries(ranges);
      const inside = (value, range) => (range.length === 2 && typeof value === "number" && typeof range[0] === "number" && !(chosen.kind === "heat" || (cubes && chosen.kind === "cases"))
        ? value >= Math.min(...range) && value <= Math.max(...range) : range.includes(value));
      const hit = rows.filter((row) => entries.every(([field, range]) => inside(row[field], range)));
      selected.figure = entries.length ? { rows: hit[0]?.rows === null || cubes ? null : new Set(hit.flatMap((row) => row.rows)), count: hit.reduce((sum, row) => sum + row.n, 0), where: where(ranges, hit) } : null;
      showSelection();
      lines?.select(both());
    }, 80);
  }

  // The condition of `--where` that selects the same cases.
  function where(ranges, hit) {
    const quoted = (name) => (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``);
    const literal = (value) => (typeof value === "number" ? String(value) : JSON.stringify(value));
    return Object.keys(ranges).map((field) => {
      const column = chosen[field], values = hit.map((row) => row[field]);
      if (!values.length) return null;
      if (!of.isNumber(column)) return `(${[...new Set(values)].map((value) => `${quoted(column.name)} == ${literal(value)}`).join(" or ")})`;
      const axis = cubes?.axes.find((one) => one.name === column.name && one.is_binned);
      const half = axis ? (axis.centres[1] - axis.centres[0]) / 2 : 0, name = quoted(column.name);
      const [low, high] = [Math.min(...values) - half, Math.max(...values) + half].map((one) => Number(one.toPrecision(7)));
      return `${name} >= ${literal(low)} and ${name} <= ${literal(high)}`;
    }).filter(Boolean).join(" and ");
  }

  function both() {
    const a = selected.figure?.rows ?? null, b = selected.axes;
    return a && b ? new Set([...a].filter((at) => b.has(at))) : a ?? b;
  }

  const list = element("div", { class: "cases" });
  function showSelection() { list.replaceChildren(); cases(both(), list); }

  // --- the cases ----------------------------------------------------------------------------------

  function cases(rows, into) {
    if (Array.isArray(into)) { root.append(list); into = list; }
    const SHOWN = 100, some = rows ? [...rows].sort((a, b) => a - b) : data.index.map((_, at) => at);
    const what = rows ? `${number(some.length)} selected cases` : cubes ? `A sample of ${number(some.length)} cases` : `All ${number(some.length)} complete cases`;
    into.append(element("h3", { text: what + (some.length > SHOWN ? `, the first ${SHOWN} of them` : "") }));
    if (cubes && selected.figure?.where) {
      into.append(element("p", { text: `The selection in the figure has ${number(selected.figure.count)} cases; this lists them:` }), command(`--where ${shell(selected.figure.where)}`));
    }
    if (rows && some.length && !cubes) into.append(command(`--cases ${ranges(some.map((at) => data.index[at]))}`));
    if (!some.length) return;
    const shown = all.filter((one) => one.role !== "used" || one.name === "wall_seconds").slice(0, 16);
    const dirs = data.run_dir.length > 0;
    report.table(into, {
      head: ["index", ...shown.map((one) => one.name), ...(dirs ? ["run directory"] : [])],
      numbers: [0, ...shown.flatMap((one, at) => (of.isNumber(one) ? [at + 1] : []))],
      rows: some.slice(0, SHOWN).map((at) => [data.index[at], ...shown.map((one) => of.value(one, at)), ...(dirs ? [data.run_dir[at]] : [])]),
    });
  }

  const shell = (text) => (/^[\w.,:=@%+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  function command(selection) {
    const text = `hpcsweep collect ${shell(data.name)} ${selection}`;
    return element("p", { class: "line" }, element("code", { class: "command", text: text.length > 300 ? `${text.slice(0, 300)}…` : text }), report.copyButton(text));
  }

  function ranges(indices) {
    const parts = [];
    for (const index of indices) {
      const last = parts[parts.length - 1];
      if (last && last[1] === index - 1) last[1] = index; else parts.push([index, index]);
    }
    return parts.map(([low, high]) => (low === high ? low : `${low}-${high}`)).join(",");
  }

  // --- parallel coordinates -----------------------------------------------------------------------

  async function drawParallel() {
    const painted = metrics[0] ?? drawable[0];
    const room = Math.max(3, Math.floor(report.width() / 85));
    const axes = [...inOrder(without(params, byName.get("replicate"))).slice(0, room - Math.min(3, drawable.length)), ...(metrics.length ? metrics : drawable).slice(0, 3)].slice(0, room);
    if (axes.length < 2 || data.index.length < 2) return;
    const box = element("div", {}), choice = element("details", { class: "choice" }, element("summary", { text: "Axes" }));
    root.append(element("h3", { text: "Parallel coordinates" }), choice, box);
    let paint = painted;
    const draw = async () => {
      box.replaceChildren(); selected.axes = null;
      if (axes.length > 1) lines = await report.parallel(box, { axes: all.filter((one) => axes.includes(one)), count: data.index.length, painted: paint, brushed: (rows) => {
        selected.axes = rows;
        showSelection();
        if (view && !cubes) {
          const hit = both();
          const values = view.rowsOf.map(({ x, y, c, f, n, sd, rows: some }, id) => ({ x, y, ...(c != null && { c }), ...(f != null && { f }), n, ...(sd != null && { sd }), id, s: !hit || some.some((at) => hit.has(at)) }));
          view.data("points", values).runAsync();
        }
      } });
    };
    for (const one of all.filter((column) => of.different(column).length > 1)) {
      const tick = element("input", { type: "checkbox", checked: axes.includes(one), change: () => {
        if (tick.checked) axes.push(one); else axes.splice(axes.indexOf(one), 1);
        draw();
      } });
      choice.append(element("label", {}, tick, one.name));
    }
    select(choice, "colour", drawable.map((one) => [all.indexOf(one), one.name]), all.indexOf(paint), (at) => { paint = all[at]; draw(); });
    await draw();
  }

  async function update() { showControls(); await drawFigure(); }
  await update();
  await drawParallel();
  root.append(list);
  showSelection();
});
