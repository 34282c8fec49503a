"use strict";
// The page Run: what ran where and when, how many cases ran and waited, and attempts.
(() => {
  const { element, chart, table, number, plural, duration, note, colour } = report;
  const ms = (seconds) => Math.round(1000 * seconds);
  const node = (name) => name || "unknown node";
  const STATUSES = ["complete", "failed", "interrupted", "running", "unknown"];

  report.page("run", async (root, data) => {
    if (!data.executions) { note(root, "No case has begun yet."); return; }
    if (data.search) await drawSearch(root, data.search);
    showProblems(root, data.problems);
    const ends = endsOf(data), time = timeAxis(ends);
    root.append(element("h3", { text: "What ran where" }));
    if (data.gantt.kind === "bars") addZoom(root, ends, await drawBars(root, data, time));
    else await drawNodes(root, data, time);
    root.append(element("h3", { text: "Running and waiting" }));
    await drawCurve(root, data.running, time, "cases that ran", "running", "At most {peak} cases ran at once.");
    if (data.waiting) await drawCurve(root, data.waiting, time, "cases that waited", "pending", "Sent, and not begun: in the queue, or behind other cases of their array task. At most {peak} waited.");
    else note(root, "How many cases waited is not known: the time of the submission is not recorded.");
    root.append(element("h3", { text: "Attempts" }));
    showAttempts(root, data);
  });

  // The value of each trial, and a line for the best so far.
  async function drawSearch(root, { objective, direction, resource, trials, index, budget, value, best }) {
    root.append(element("h3", { text: "Search" }));
    const values = index.map((at, place) => ({ index: at, budget: budget[place], value: value[place], best: best[place] }));
    if (!values.some((one) => one.best != null)) { note(root, `No trial has a value of ${objective} yet.`); return; }
    const x = { field: "index", type: "quantitative", title: "index of the case", axis: { tickMinStep: 1 } };
    const y = { type: "quantitative", title: objective, scale: { zero: false } };
    const detail = [{ field: "index" }, ...(resource ? [{ field: "budget", title: resource }] : []), { field: "value", title: objective }];
    await chart(root, {
      title: `${objective} of each trial, and the best so far`,
      note: `The line is the best value so far (${direction})${resource ? `, of the largest ${resource} that any trial had` : ""}.` + (values.length < trials ? ` The last ${number(values.length)} of ${number(trials)} trials.` : ""),
      spec: {
        data: { values }, height: 180,
        layer: [
          {
            transform: [{ filter: "isValid(datum.value)" }], mark: { type: "point", filled: true, size: 28, opacity: 0.75 },
            encoding: { x, y: { ...y, field: "value" }, tooltip: detail, ...(resource ? { color: { field: "budget", type: "ordinal", title: resource, legend: { orient: "top" } } } : {}) },
          },
          { transform: [{ filter: "isValid(datum.best)" }], mark: { type: "line", interpolate: "step-after", color: colour("complete"), strokeWidth: 2 }, encoding: { x, y: { ...y, field: "best" } } },
        ],
      },
    });
  }

  function showProblems(root, { before_sent: early, backwards, without_end: open }) {
    if (early) note(root, `${plural(early, "case")} began before the submission was sent, by the clocks of nodes: these differ from that of the host that submitted. Such cases count as ones that did not wait.`, "problem");
    if (backwards) note(root, `${plural(backwards, "case")} ended before the begin, by the clock of a node, which was set back: the bars are as long as the cases ran.`, "problem");
    if (open) note(root, `Of ${plural(open, "attempt")} the end is not known.`);
  }

  // Begin and end of all figures, in milliseconds.
  function endsOf({ running, waiting }) {
    const begin = Math.min(running.times[0], waiting?.times[0] ?? Infinity);
    return [ms(begin), ms(Math.max(running.times.at(-1), begin + 1))];
  }

  // One axis of time for all figures.
  function timeAxis([begin, end]) {
    const format = end - begin < 600e3 ? "%H:%M:%S" : end - begin < 172800e3 ? "%H:%M" : "%-d %b";
    const day = new Date(begin).toISOString().slice(0, 10);
    return {
      type: "temporal", title: `time (UTC), from ${day}`, scale: { type: "utc", nice: false, domainMin: { expr: String(begin) }, domainMax: { expr: String(end) } },
      axis: { labelOverlap: true, tickCount: report.isNarrow() ? 4 : 6, format },
    };
  }

  async function drawBars(root, { gantt }, time) {
    const slots = new Map();
    for (const row of gantt.rows) slots.set(row.node, (slots.get(row.node) ?? 0) + 1);
    const label = (row) => (slots.get(row.node) > 1 ? `${node(row.node)} · ${row.slot + 1}` : node(row.node));
    const values = gantt.row.map((row, at) => ({
      row: label(gantt.rows[row]), start: ms(gantt.start[at]), end: ms(gantt.end[at]), status: gantt.status[at],
      index: gantt.index[at], submission: gantt.submission[at], took: duration(gantt.end[at] - gantt.start[at]),
    }));
    const there = STATUSES.filter((status) => gantt.status.includes(status));
    const step = gantt.rows.length > 40 ? 9 : gantt.rows.length > 16 ? 14 : 20;
    return chart(root, {
      title: "Which node ran which case when",
      note: `${plural(values.length, "attempt")} on ${plural(slots.size, "node")}; a row for each case that ran at the same time.`,
      how: "Drag and scroll, or fill in the ends below, to zoom in time; double-click for all.",
      spec: {
        data: { values }, height: step * gantt.rows.length,
        params: [{ name: "zoom", select: { type: "interval", encodings: ["x"] }, bind: "scales" }],
        mark: { type: "bar", height: { band: 0.8 }, minBandSize: 1, clip: true },
        encoding: {
          y: { field: "row", type: "nominal", sort: gantt.rows.map(label), title: null, axis: { labelOverlap: step < 12, labelLimit: 120, ticks: false, grid: false } },
          x: { field: "start", ...time }, x2: { field: "end" },
          color: { field: "status", type: "nominal", scale: { domain: there, range: there.map((one) => colour(one)) }, legend: there.length > 1 ? { orient: "top", title: null } : null },
          stroke: { value: colour("ground") }, strokeWidth: { value: values.length > 800 ? 0 : 0.6 },
          tooltip: [{ field: "index" }, { field: "status" }, { field: "row", title: "node" }, { field: "took" }, { field: "submission" }],
        },
      },
    });
  }

  // Fields for the ends of the time that a view shows, and a button for all of it.
  function addZoom(root, [begin, end], view) {
    const controls = element("div", { class: "controls" });
    root.append(controls);
    // Vega-Lite's name of the ends of an axis that is zoomed: its field is start.
    const shown = "zoom_start";
    let typed = 0;  // ranges that were typed and are not shown yet: the fields have them
    async function zoom(range) {
      const [low, high] = range ? [Math.max(range[0], begin), Math.min(range[1], end)] : [begin, end];
      if (low >= high) return;  // as between two digits that are typed
      typed++;
      await view.signal(shown, range && [low, high]).runAsync();
      typed--;
    }
    const fields = report.ranges.fields(controls, { name: "time (UTC)", isTime: true }, [begin, end], zoom);
    view.addSignalListener(shown, (_, range) => { if (!typed) fields.show(range?.map(Number)); });
    controls.append(element("button", { type: "button", text: "All times", click: () => { fields.show(null); zoom(null); } }));
  }

  async function drawNodes(root, { gantt, executions }, time) {
    const values = gantt.running.flatMap((counts, row) => counts.map((running, at) => ({
      node: gantt.others && row === gantt.running.length - 1 ? `${gantt.others} other nodes` : node(gantt.nodes[row]),
      start: ms(gantt.start + at * gantt.step), end: ms(gantt.start + (at + 1) * gantt.step), running,
    }))).filter((one) => one.running > 0);
    await chart(root, {
      title: "How many cases each node ran over time",
      note: `${plural(executions, "attempt")}: too many for a bar each. The mean count of cases that a node ran, in intervals of ${duration(gantt.step)}.`,
      spec: {
        data: { values }, height: (gantt.nodes.length > 30 ? 11 : 18) * gantt.nodes.length, mark: { type: "rect" },
        encoding: {
          y: { field: "node", type: "nominal", sort: null, title: null, axis: { labelOverlap: true, labelLimit: 120, ticks: false, grid: false } },
          x: { field: "start", ...time }, x2: { field: "end" },
          color: { field: "running", type: "quantitative", title: "cases", legend: { orient: "top" } },
          tooltip: [{ field: "node" }, { field: "running", title: "cases at once, on average" }],
        },
      },
    });
  }

  async function drawCurve(root, curve, time, title, name, text) {
    if (!curve.times.length) return;
    const values = curve.times.map((at, place) => ({ time: ms(at), cases: curve.values[place] }));
    await chart(root, {
      title: `Number of ${title} over time`, note: text.replace("{peak}", number(curve.peak)),
      spec: {
        data: { values }, height: 150,
        mark: { type: "area", interpolate: "step-after", color: colour(name), opacity: 0.75, line: { color: colour(name), strokeWidth: 1 } },
        encoding: {
          x: { field: "time", ...time },
          y: { field: "cases", type: "quantitative", title, axis: { tickMinStep: 1, tickCount: 5 } },
          tooltip: [{ field: "cases", title }],
        },
      },
    });
  }

  function showAttempts(root, { repeated, repeated_read: read, attempts }) {
    const { cases, earlier, requeued, most } = attempts;
    if (!repeated) { note(root, "Every case that began had one attempt."); return; }
    note(root, `${plural(repeated, "case")} had several attempts${requeued ? `; Slurm requeued the task of ${plural(requeued, "attempt")}` : ""}.` +
      (read < repeated ? ` Of the first ${number(read)} of them:` : ""));
    table(root, { head: ["attempts", "cases"], rows: Object.entries(cases).map(([count, of]) => [Number(count), of]), numbers: [0, 1] });
    root.append(element("h4", { text: "How earlier attempts ended" }));
    table(root, { head: ["reason", "attempts"], rows: earlier.map((one) => [one.reason.replaceAll("_", " "), one.attempts]), numbers: [1] });
    root.append(element("h4", { text: "The cases with most attempts" }));
    const rows = most.flatMap((one) => one.attempts.map((of, at) => [
      one.index, at + 1, of.submission, of.restart, (of.reason ?? of.status).replaceAll("_", " "), node(of.host), of.wall_seconds == null ? null : duration(of.wall_seconds),
    ]));
    table(root, { head: ["index", "attempt", "submission", "restart", "ended by", "node", "took"], rows, numbers: [0, 1, 2, 3] });
  }
})();
