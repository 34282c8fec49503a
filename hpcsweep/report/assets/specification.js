"use strict";
// The Vega-Lite specification of the figure of the results. Fields: x, y, c (colour), f (panel), n (cases), sd.
report.specification = (() => {
  const { columns: of, isNarrow, width } = report;
  // Values of a parameter up to which a legend has one entry for each.
  const STEPS_MAX = 12;

  const isDiscrete = (one) => !of.isNumber(one) || (one.role === "param" && of.different(one).length <= STEPS_MAX);
  // Of points with `s` false, which are not selected, little is seen.
  const faded = { condition: { test: "datum.s === false", value: 0.1 }, value: 0.85 };

  function axis(field, one) {
    if (!of.isNumber(one)) return { field, type: "nominal", title: one.name, sort: null, axis: { labelAngle: 0, labelOverlap: true } };
    return {
      field, type: "quantitative", title: one.name, axis: { tickCount: field === "y" || isNarrow() ? 6 : 12 },
      scale: of.isLogarithmic(one) ? { type: "log", nice: false } : { zero: false },
    };
  }

  function colours(one) {
    if (!one) return {};
    const encoding = { field: "c", title: one.name, legend: isNarrow() ? { orient: "top", columns: 3 } : {} };
    if (!of.isNumber(one)) return { color: { ...encoding, type: "nominal", sort: of.different(one) } };
    const scheme = { name: "viridis", extent: report.isDark() ? [0.15, 1] : [0, 0.88] }, isSteps = isDiscrete(one);
    return { color: { ...encoding, type: isSteps ? "ordinal" : "quantitative", scale: { scheme, ...(!isSteps && of.isLogarithmic(one) && { type: "log" }) } } };
  }

  // Points, with a line through those of one colour.
  function points({ kind, x, y, colour }, { drawn, joined }, brush) {
    const encoding = { x: axis("x", x), y: axis("y", y), ...colours(colour) };
    const marks = { params: [brush], mark: { type: "point", filled: true, size: drawn.length > 2000 ? 14 : 38, tooltip: true }, encoding: { ...encoding, opacity: faded } };
    if (kind !== "means" || !joined || !of.isNumber(x) || new Set(drawn.map((one) => one.x)).size > 200) return marks;
    return { layer: [{ mark: { type: "line", strokeWidth: 1.6, tooltip: false, opacity: 0.75 }, encoding }, marks] };
  }

  // A rectangle for each pair of values.
  function cells({ kind, x, y, colour }, { drawn: all }, brush) {
    const isCounts = kind === "cases";
    const ordinal = (field, one, sort) => ({
      field, type: "ordinal", title: one.name, sort,
      axis: { labelAngle: 0, labelOverlap: true, grid: false, ...(of.isNumber(one) && { format: ".4~g" }) },
    });
    const type = isCounts ? "symlog" : of.isLogarithmic(colour) ? "log" : "linear";
    return {
      params: [brush], mark: { type: "rect", tooltip: true },
      encoding: {
        x: ordinal("x", x, of.sorted(all.map((one) => one.x))), y: ordinal("y", y, of.sorted(all.map((one) => one.y)).reverse()), opacity: faded,
        color: { field: "c", type: "quantitative", title: isCounts ? "cases" : colour.name, scale: { scheme: "viridis", type }, legend: isNarrow() ? { orient: "top" } : {} },
      },
    };
  }

  // The same in a panel for each value of `facet`.
  function panels(unit, { colour, facet }) {
    const columns = isNarrow() ? 1 : Math.min(3, of.different(facet).length), isOne = columns === 1;
    const wide = Math.floor(width() / columns) - (isOne ? 70 : 82) - (colour ? 60 / columns : 0);
    return {
      facet: { field: "f", type: of.isNumber(facet) ? "ordinal" : "nominal", title: facet.name, sort: null }, columns,
      spec: { ...unit, width: wide, height: isOne ? 260 : 240 }, autosize: undefined, width: undefined,
    };
  }

  // No condition on cases says which means of bins are in a range.
  const brushedAxes = ({ kind }, isBinned) => (isBinned && kind === "means" ? ["x"] : ["x", "y"]);

  function specification(chosen, made, values, isBinned) {
    const isCells = chosen.kind === "heat" || (isBinned && chosen.kind === "cases");
    const brush = { name: "brush", select: { type: "interval", clear: "dblclick", encodings: brushedAxes(chosen, isBinned) } };
    const unit = (isCells ? cells : points)(chosen, made, brush);
    const rows = isCells ? new Set(made.drawn.map((one) => one.y)).size : 0;
    const height = isNarrow() ? 280 : isCells ? Math.min(520, 90 + 34 * rows) : 380;
    return { data: { name: "points", values }, ...(chosen.facet ? panels(unit, chosen) : { ...unit, height }) };
  }

  // By field, what it is called: for tooltips. A title says the axes.
  function namesOf({ kind, x, y, colour, facet }, isBinned) {
    const isCases = kind === "cases", isHeat = kind === "heat";
    return {
      x: x.name, y: isHeat || isCases ? y.name : `mean ${y.name}`,
      c: isHeat ? `mean ${colour.name}` : isBinned && isCases ? null : colour?.name, f: facet?.name,
      n: isCases && !isBinned ? null : "cases", sd: "standard deviation",
    };
  }

  const titleOf = ({ kind, x, y, colour }) => (kind === "heat" ? `${colour.name} over ${x.name} and ${y.name}` : `${y.name} over ${x.name}`);

  return { specification, brushedAxes, namesOf, titleOf };
})();
