"use strict";
// What the figure of the results may show: kinds, and columns for its axes, colours and panels.
report.choices = (() => {
  const { columns: of } = report;
  // Values of a column above which it is neither a colour at first nor panels.
  const COLOURS_MAX = 10, PANELS_MAX = 12;

  const without = (some, ...others) => some.filter((one) => one && !others.includes(one));
  const inOrder = (some) => [...some].sort((a, b) => of.isNumber(b) - of.isNumber(a) || of.different(b).length - of.different(a).length);

  // The columns of a page, by what a figure can do with them.
  function columnsOf({ columns: all, cubes }) {
    const params = all.filter((one) => one.role === "param" && of.different(one).length > 1);
    const numbers = all.filter((one) => of.isNumber(one) && one.role !== "param");
    return {
      all, params,
      metrics: numbers.filter((one) => one.role === "metric"),
      measured: numbers.filter((one) => !cubes || cubes.metrics.includes(one.name)),
      gridded: params.filter((one) => cubes || of.isGridded(one)),  // bins are a grid
      // The parameters but for the replicate, which nobody looks at first.
      varied: params.filter((one) => one.name !== "replicate"),
      isBinned: Boolean(cubes),
    };
  }

  // What is drawn at first: means over the first parameter, if it is on a grid.
  function first({ params, measured, gridded, varied, isBinned }) {
    const x = inOrder(varied)[0] ?? params[0] ?? measured[0];
    const few = without(varied.filter((one) => gridded.includes(one)), x)
      .filter((one) => of.different(one).length <= (isBinned ? 32 : COLOURS_MAX));
    const y = without(measured, x)[0] ?? measured[0];
    return { kind: gridded.includes(x) ? "means" : "cases", x, y, colour: inOrder(few)[0] ?? null, facet: null };
  }

  // The same choice for another kind of figure: a heat map measures by colour.
  function ofKind(known, chosen, kind) {
    const { measured, gridded, varied } = known, { x, y, colour, facet } = chosen;
    if (kind === "heat") {
      const varying = varied.filter((one) => gridded.includes(one));
      const [a, b] = inOrder(varying.length > 1 ? varying : gridded);
      const across = gridded.includes(x) ? x : a;
      return { kind, x: across, y: across === a ? b : a, colour: measured.includes(y) ? y : measured[0], facet: null };
    }
    if (measured.includes(y)) return { kind, x, y, colour, facet };
    const usual = first(known).colour;
    return { kind, x, y: measured.includes(colour) ? colour : measured[0], colour: usual === x ? null : usual, facet };
  }

  function kinds({ gridded, isBinned }) {
    const all = [["means", "Means"], ["cases", isBinned ? "Counts" : "Every case"]];
    return gridded.length > 1 ? [...all, ["heat", "Heat map"]] : all;
  }

  // By axis the columns that it can show; null for none.
  function options({ params, measured, gridded, isBinned }, { kind, x, y, colour }) {
    const isHeat = kind === "heat", isCases = kind === "cases";
    const panels = gridded.filter((one) => of.different(one).length <= PANELS_MAX);
    return {
      x: isHeat ? gridded : isCases ? [...params, ...measured] : params,
      y: isHeat ? without(gridded, x) : measured,
      colour: isHeat ? measured : isBinned && isCases ? [null] : [null, ...without([...params, ...(isCases ? measured : [])], x)],
      facet: isBinned ? [null] : [null, ...without(panels, x, colour, isHeat ? y : null)],
    };
  }

  return { columnsOf, first, ofKind, kinds, options, inOrder, without };
})();
