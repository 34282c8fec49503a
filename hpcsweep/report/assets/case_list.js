"use strict";
// The list of the selected cases, with their run directories and the command that selects the same.
report.caseList = (() => {
  const { element, number, columns: of } = report;
  // Cases that are listed, on a screen and on paper, and columns of them.
  const CASES = { screen: 100, paper: 20 }, COLUMNS = 16;
  const most = () => CASES[report.isPaper() ? "paper" : "screen"];

  const shell = (text) => (/^[\w.,:=@%+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  function command(name, selection) {
    const text = `hpcsweep collect ${shell(name)} ${selection}`;
    return element("p", { class: "line" }, element("code", { class: "command", text: text.length > 300 ? `${text.slice(0, 300)}…` : text }), report.copyButton(text));
  }

  // Indices as `--cases` takes them: 2-3,10-11.
  function indexRanges(indices) {
    const parts = [];
    for (const index of indices) {
      const last = parts.at(-1);
      if (last && last[1] === index - 1) last[1] = index; else parts.push([index, index]);
    }
    return parts.map(([low, high]) => (low === high ? low : `${low}-${high}`)).join(",");
  }

  // The condition of `--where` for what is selected of bins: their points, in ranges of these columns.
  function condition(cubes, columns, points) {
    const quoted = (name) => (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``);
    return Object.entries(columns).filter(() => points.length).map(([field, column]) => {
      const values = points.map((one) => one[field]), name = quoted(column.name);
      if (!of.isNumber(column)) return `(${[...new Set(values)].map((value) => `${name} == ${JSON.stringify(value)}`).join(" or ")})`;
      const axis = report.points.axisOf(cubes, column);
      const half = axis?.is_binned ? (axis.centres[1] - axis.centres[0]) / 2 : 0;
      const [low, high] = [Math.min(...values) - half, Math.max(...values) + half].map((one) => Number(one.toPrecision(7)));
      return `${name} >= ${low} and ${name} <= ${high}`;
    }).join(" and ");
  }

  // List the rows, null for all. `binned` is what is selected in a figure of bins: its points and columns.
  function caseList(root, data, rows, binned) {
    const some = rows ? [...rows].sort((a, b) => a - b) : data.index.map((_, at) => at);
    const what = rows ? `${number(some.length)} selected cases` : data.cubes ? `A sample of ${number(some.length)} cases` : `All ${number(some.length)} complete cases`;
    root.replaceChildren(element("h3", { text: what + (some.length > most() ? `, the first ${most()} of them` : "") }));
    if (binned && !binned.points.length) root.append(element("p", { text: "The selection in the figure has no cases." }));
    else if (binned) {
      const count = binned.points.reduce((sum, one) => sum + one.n, 0);
      root.append(element("p", { text: `The selection in the figure has ${number(count)} cases; this lists them:` }),
        command(data.name, `--where ${shell(condition(data.cubes, binned.columns, binned.points))}`));
    } else if (rows && some.length && !data.cubes) root.append(command(data.name, `--cases ${indexRanges(some.map((at) => data.index[at]))}`));
    if (some.length) listCases(root, data, some);
    if (data.rounding) report.note(root, data.rounding);
  }

  function listCases(root, data, some) {
    const shown = data.columns.filter((one) => one.role !== "used" || one.name === "wall_seconds").slice(0, COLUMNS);
    const hasDirectories = data.run_dir.length > 0;
    report.table(root, {
      head: ["index", ...shown.map((one) => one.name), ...(hasDirectories ? ["run directory"] : [])],
      numbers: [0, ...shown.flatMap((one, at) => (of.isNumber(one) ? [at + 1] : []))],
      rows: some.slice(0, most()).map((at) => [data.index[at], ...shown.map((one) => of.value(one, at)), ...(hasDirectories ? [data.run_dir[at]] : [])]),
    });
  }

  return caseList;
})();
