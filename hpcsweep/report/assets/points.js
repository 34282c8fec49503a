"use strict";
// The points of the figure of the results: of each case, or of cases that are put together.
report.points = (() => {
  const { columns: of, number } = report, { without } = report.choices;
  // Points above which a sample is drawn: the interpreter of Vega's expressions takes 35 µs a point.
  const DRAWN_MAX = 5000;

  // `rows` of a point are its cases. Returns the points with the sentence below the figure;
  // `joined` says whether a line may go through them.
  function pointsOf(data, known, chosen) {
    if (chosen.kind !== "cases") return means(data, known, chosen);
    return data.cubes ? counts(data.cubes, chosen) : eachCase(data, chosen);
  }

  function eachCase(data, { x, y, colour, facet }) {
    const points = [];
    for (let at = 0; at < data.index.length; at++) {
      const point = { x: of.value(x, at), y: of.value(y, at), rows: [at], n: 1 };
      if (colour) point.c = of.value(colour, at);
      if (facet) point.f = of.value(facet, at);
      if (point.x != null && point.y != null && (!colour || point.c != null) && (!facet || point.f != null)) points.push(point);
    }
    return { points, text: "One point for each case." };
  }

  function means(data, { params }, { kind, x, y, colour, facet }) {
    const isHeat = kind === "heat", { cubes } = data;
    const by = Object.entries(isHeat ? { x, y, f: facet } : { x, c: colour, f: facet }).filter(([, column]) => column);
    const columns = by.map(([, column]) => column), measured = isHeat ? colour : y;
    const groups = cubes ? fromCubes(cubes, columns, measured) : of.means(data.index.length, columns, measured);
    const points = groups.map(({ keys, mean, sd, n, rows }) => ({
      ...Object.fromEntries(by.map(([field], at) => [field, keys[at]])), [isHeat ? "c" : "y"]: mean, sd, n, rows,
    }));
    const others = without(params, ...columns), over = cubes ? others : of.pooled(others, groups);
    const between = cubes ? [] : without(others, ...over);
    const names = (some) => some.map((one) => one.name).join(", ");
    let text = of.meansText(groups, over, isHeat ? "cell" : "point");
    if (between.length) text += ` The points differ in ${names(between)}, too.`;
    const binned = columns.filter((column) => axisOf(cubes, column)?.is_binned);
    if (binned.length) text += ` ${names(binned)}: the middles of bins.`;
    return { points, text, joined: !between.length };
  }

  // --- of very many cases, bins that were made before ---------------------------------------------

  const axisOf = (cubes, column) => cubes?.axes.find((one) => one.name === column.name);
  const pairOf = (pairs, names) => pairs.find((one) => names.every((name) => [one.a, one.b].includes(name)));
  const centreOf = (cubes, pair, column, at) => axisOf(cubes, column).centres[(column.name === pair.a ? pair.at_a : pair.at_b)[at]];

  function fromCubes(cubes, columns, measured) {
    const pair = pairOf(cubes.means, columns.map((one) => one.name));
    const means = pair?.mean[cubes.metrics.indexOf(measured.name)] ?? [];
    const groups = new Map();
    for (const [at, mean] of means.entries()) {
      if (mean == null) continue;
      const n = pair.count[at], keys = columns.map((column) => centreOf(cubes, pair, column, at));
      const key = JSON.stringify(keys), group = groups.get(key) ?? { keys, n: 0, mean: 0 };
      group.mean += ((mean - group.mean) * n) / (group.n + n); group.n += n;
      groups.set(key, group);
    }
    return [...groups.values()];
  }

  function counts(cubes, { x, y }) {
    const pair = x !== y && pairOf(cubes.counts, [x.name, y.name]);
    if (!pair) return { points: [], text: "Choose another column for x." };
    const points = pair.count.map((n, at) => ({ x: centreOf(cubes, pair, x, at), y: centreOf(cubes, pair, y, at), c: n, n }));
    return { points, text: "The count of cases in each cell; the axes show the middles of bins." };
  }

  // --- what is drawn of them ----------------------------------------------------------------------

  // What is drawn of the points, in the order of panels, colours and x: of very many an even sample, with
  // the ends of both axes, and the sentence that says so.
  function sample(points) {
    const [drawn, sampleText] = points.length > DRAWN_MAX ? even(points) : [[...points], ""];
    drawn.sort((a, b) => (a.f > b.f) - (a.f < b.f) || (a.c > b.c) - (a.c < b.c) || (a.x > b.x) - (a.x < b.x));
    return { drawn, sampleText };
  }

  function even(points) {
    const step = points.length / DRAWN_MAX;
    const some = new Set(Array.from({ length: DRAWN_MAX }, (_, at) => points[Math.floor(at * step)]));
    for (const field of ["x", "y"]) {
      for (const sign of [1, -1]) some.add(points.reduce((best, one) => (sign * (one[field] - best[field]) > 0 ? one : best)));
    }
    const drawn = points.filter((one) => some.has(one));
    return [drawn, ` ${number(drawn.length)} of ${number(points.length)} points are drawn, evenly spaced in the sweep; a selection takes all.`];
  }

  return { pointsOf, sample, axisOf };
})();
