"use strict";
// Columns of cases: their values, and cases that are put together where a figure shows one point for several.
report.columns = (() => {
  // Values above which a param is not on a grid.
  const GRID_MAX = 60;

  const value = (column, at) => (column.levels ? column.levels[column.values[at]] ?? null : column.values[at]);
  const isNumber = (column) => !column.levels;

  // Numbers or texts in order, each once.
  const sorted = (values) => [...new Set(values)].sort((a, b) => (typeof a === "number" ? a - b : (a > b) - (a < b)));

  // The different values of a column, sorted.
  function different(column) {
    if (!column.different) {
      const there = column.values.filter((one) => one != null && (isNumber(column) || one >= 0));
      const found = sorted(there);
      column.different = isNumber(column) ? found : sorted(found.map((one) => column.levels[one]));
    }
    return column.different;
  }

  const isGridded = (column) => different(column).length <= GRID_MAX;

  // A logarithmic axis where values are positive, span three decades, and are not all but a few in the last.
  function isLogarithmic(column) {
    if (!isNumber(column)) return false;
    const all = different(column), at = (share) => all[Math.min(all.length - 1, Math.floor(share * all.length))];
    return all.length > 1 && all[0] > 0 && all[all.length - 1] / all[0] >= 1000 && at(0.9) / at(0.1) >= 50;
  }

  // One point for all cases with the same values of `by` (x, colour and so on): the mean of `of`.
  function means(count, by, of) {
    const groups = new Map();
    for (let at = 0; at < count; at++) {
      const number = of.values[at];
      if (number == null) continue;
      const keys = by.map((column) => value(column, at));
      if (keys.some((key) => key == null)) continue;
      const key = JSON.stringify(keys);
      let group = groups.get(key);
      if (!group) groups.set(key, group = { keys, rows: [], sum: 0, squares: 0 });
      group.rows.push(at); group.sum += number;
    }
    for (const group of groups.values()) {
      group.n = group.rows.length; group.mean = group.sum / group.n;
      for (const at of group.rows) group.squares += (of.values[at] - group.mean) ** 2;
      group.sd = group.n > 1 ? Math.sqrt(group.squares / (group.n - 1)) : null;
    }
    return [...groups.values()];
  }

  // The columns in which cases of one point differ.
  function pooled(columns, groups) {
    return columns.filter((column) => groups.some(({ rows }) => rows.some((at) => column.values[at] !== column.values[rows[0]])));
  }

  // "averaged over b, n: 18 cases a point"; always said.
  function meansText(groups, over, what = "point") {
    const counts = groups.map((one) => one.n), low = Math.min(...counts), high = Math.max(...counts);
    if (!groups.length) return "No case has all of these values.";
    if (high === 1) return `One case a ${what}.`;
    const names = over.map((one) => one.name).join(", ");
    const number = low === high ? `${high} cases a ${what}` : `${low} to ${high} cases a ${what}`;
    return names ? `Averaged over ${names}: ${number}.` : `The mean of ${number}.`;
  }

  return { value, isNumber, sorted, different, isGridded, isLogarithmic, means, pooled, meansText };
})();
