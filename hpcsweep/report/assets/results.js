"use strict";
// The page Results: a figure whose axes are chosen, parallel coordinates, and the cases that both select.
(() => {
  const { element, select, number, note, columns: of, choices, points, ranges } = report;

  report.page("results", async (root, { gaps, ...given }) => {
    let last = 0;
    const data = { ...given, index: gaps.map((gap) => (last += gap)) };
    if (!data.complete) { note(root, "No case is complete yet: there are no results to show.", ""); return; }
    const known = choices.columnsOf(data);
    introduce(root, data, known);
    const page = {
      data, known, chosen: choices.first(known), view: null, lines: null, turn: 0,
      // What is selected: ranges of the figure by axis; and rows by the axes of the parallel coordinates.
      ranges: {}, axes: null,
      controls: element("div", { class: "controls" }), place: element("div"), ends: element("div", { class: "controls" }), list: element("div", { class: "cases" }),
    };
    if (known.measured.length) {
      root.append(page.controls, page.place, page.ends);
      await update(page);
      await addParallel(root, page);
    }
    root.append(page.list);
    showSelection(page);
  });

  function introduce(root, data, { metrics, measured }) {
    note(root, `${number(data.complete)} of ${number(data.cases)} cases are complete.` +
      (data.cubes ? ` The figures are of all of them, put into bins; single cases are a sample of ${data.index.length}, evenly spaced.` : ""), "");
    for (const text of data.notes) note(root, text);
    if (!measured.length) note(root, "There is no number to draw.", "");
    else if (!metrics.length) note(root, "No metric is a number, so that the figures show what the cases used.", "");
  }

  // --- the figure ---------------------------------------------------------------------------------

  // Show what was chosen, with nothing selected in the figure.
  function update(page) {
    clearTimeout(page.timer);
    page.ranges = {};
    showControls(page);
    Object.assign(page, points.pointsOf(page.data, page.known, page.chosen));
    Object.assign(page, points.sample(page.points));
    showEnds(page);
    return drawFigure(page);
  }

  function showControls(page) {
    const { controls, known, chosen } = page, { all } = known;
    controls.replaceChildren();
    select(controls, "Figure", choices.kinds(known), chosen.kind, (kind) => { page.chosen = choices.ofKind(known, chosen, kind); update(page); });
    for (const axis of ["x", "y", "colour", "facet"]) {
      const some = choices.options(known, chosen)[axis];
      if (!some.includes(chosen[axis])) chosen[axis] = some[0] ?? null;
      if (some.length < 2 && some[0] == null) continue;
      const pairs = some.map((one) => [all.indexOf(one), one?.name ?? "none"]);
      select(controls, axis, pairs, all.indexOf(chosen[axis]), (at) => { chosen[axis] = all[at] ?? null; update(page); });
    }
  }

  async function drawFigure(page) {
    const { place, chosen, known } = page, turn = ++page.turn;
    page.view = null;
    place.replaceChildren();
    showSelection(page);
    if (!page.points.length) { note(place, `Nothing to draw. ${page.text}`, "problem"); return; }
    const names = Object.entries(report.specification.namesOf(chosen, known.isBinned)).filter(([, name]) => name);
    const view = await report.chart(place, {
      title: report.specification.titleOf(chosen),
      note: `${page.text}${page.sampleText}`, how: "Drag, or fill in the ends below, to select; double-click to select all.",
      spec: report.specification.specification(chosen, page, valuesOf(page), known.isBinned),
      tip: (datum) => Object.fromEntries(names.filter(([field]) => datum[field] != null).map(([field, name]) => [name, datum[field]])),
    });
    if (turn !== page.turn) return;  // something else was chosen meanwhile
    page.view = view;
    view.addSignalListener("brush", (_, covered) => brushed(page, covered));
    if (Object.keys(page.ranges).length && !chosen.facet) await moveBrush(page);
  }

  // The points as the figure has them; those that are not selected fade where no brush shows it.
  function valuesOf(page) {
    const { drawn, chosen, known } = page;
    const hit = known.isBinned ? null : chosen.facet ? selectedRows(page) : page.axes;
    return drawn.map(({ rows, ...point }) => ({ ...point, ...(hit && { s: rows.some((at) => hit.has(at)) }) }));
  }

  // --- the selection: by a brush, by the ends of ranges, by the axes of the parallel coordinates ----

  function showEnds(page) {
    page.ends.replaceChildren();
    page.fields = {};
    for (const axis of report.specification.brushedAxes(page.chosen, page.known.isBinned)) {
      const values = of.sorted(page.points.map((one) => one[axis]));
      if (values.length < 2 || (axis === "y" && page.chosen.x === page.chosen.y)) continue;
      page.fields[axis] = ranges.fields(page.ends, page.chosen[axis], values, (range) => setRange(page, axis, range));
    }
  }

  function setRange(page, axis, range) {
    if (range) page.ranges[axis] = range; else delete page.ranges[axis];
    // The brush of a panel cannot be moved: the points of all panels are drawn anew instead.
    if (page.chosen.facet) return drawFigure(page);
    showSelection(page);
    return page.view && moveBrush(page);
  }

  // A brush tells what it covers with every move of the pointer.
  function brushed(page, covered) {
    if (page.isMoved) return;
    clearTimeout(page.timer);
    page.timer = setTimeout(() => {
      page.ranges = {};
      for (const axis of ["x", "y"]) {
        const range = ranges.ofBrush(page.chosen[axis], covered?.[axis]);
        if (range) page.ranges[axis] = range;
        page.fields[axis]?.show(range);
      }
      showSelection(page);
    }, 80);
  }

  async function moveBrush(page) {
    const { view, chosen, drawn } = page, isAll = !Object.keys(page.ranges).length;
    page.isMoved = true;
    for (const axis of report.specification.brushedAxes(chosen, page.known.isBinned)) {
      const values = drawn.map((one) => one[axis]);
      // Vega-Lite's name of where the brush is: brush_x is what it covers, as the field of x is x.
      view.signal(`brush_${axis}_1`, isAll ? [0, 0] : ranges.pixels(view, axis, chosen[axis], page.ranges[axis], values));
    }
    await view.runAsync();
    page.isMoved = false;
  }

  // The points in the ranges; null if there are none.
  function selectedPoints({ points: all, chosen, ranges: wanted }) {
    const entries = Object.entries(wanted);
    return entries.length ? all.filter((one) => entries.every(([axis, range]) => ranges.isInside(chosen[axis], range, one[axis]))) : null;
  }

  // The rows that figure and parallel coordinates select, null for all. Bins have no rows.
  function selectedRows(page) {
    const some = page.known.isBinned ? null : selectedPoints(page), b = page.axes;
    const a = some && new Set(some.flatMap((one) => one.rows));
    return a && b ? new Set([...a].filter((at) => b.has(at))) : a ?? b;
  }

  function showSelection(page) {
    const { data, known, chosen } = page, rows = selectedRows(page);
    const some = known.isBinned ? selectedPoints(page) : null;
    const columns = Object.fromEntries(Object.keys(page.ranges).map((axis) => [axis, chosen[axis]]));
    page.lines?.show(rows);
    report.caseList(page.list, data, rows, some && { points: some, columns });
  }

  // --- parallel coordinates -----------------------------------------------------------------------

  function firstAxes({ varied, metrics, measured }) {
    const room = Math.max(3, Math.floor(report.width() / 85));
    const results = (metrics.length ? metrics : measured).slice(0, 3);
    return [...choices.inOrder(varied).slice(0, room - results.length), ...results].slice(0, room);
  }

  async function addParallel(root, page) {
    const { data, known } = page, axes = firstAxes(known);
    if (axes.length < 2 || data.index.length < 2) return;
    const box = element("div"), choice = element("details", { class: "choice" }, element("summary", { text: "Axes" }));
    let painted = known.metrics[0] ?? known.measured[0];
    const draw = async () => {
      box.replaceChildren(); page.axes = null; page.lines = null;
      const columns = known.all.filter((one) => axes.includes(one));
      if (columns.length < 2) return;
      page.lines = await report.parallel(box, { columns, count: data.index.length, painted, brushed: (rows) => {
        page.axes = rows;
        showSelection(page);
        if (!known.isBinned) page.view?.data("points", valuesOf(page)).runAsync();
      } });
    };
    root.append(element("h3", { text: "Parallel coordinates" }), choice, box);
    for (const one of known.all.filter((column) => of.different(column).length > 1)) {
      const tick = element("input", { type: "checkbox", checked: axes.includes(one), change: () => {
        if (tick.checked) axes.push(one); else axes.splice(axes.indexOf(one), 1);
        draw();
      } });
      choice.append(element("label", {}, tick, one.name));
    }
    select(choice, "colour of lines", known.measured.map((one) => [known.all.indexOf(one), one.name]), known.all.indexOf(painted), (at) => { painted = known.all[at]; draw(); });
    await draw();
  }
})();
