"use strict";
report.page("results", async (root, data) => {
  const { element, chart, select, number } = report;
  const numbers = data.columns.filter((one) => !one.levels);
  const metrics = data.columns.filter((one) => one.role === "metric" && !one.levels);
  const params = data.columns.filter((one) => one.role === "param");
  if (!data.index.length || !metrics.length) {
    root.append(element("p", { text: "There is nothing to draw yet." }));
    return;
  }
  const x = params[0] ?? numbers[0], y = metrics[0];
  const text = (column, at) => (column.levels ? column.levels[column.values[at]] : column.values[at]);
  const rows = data.index.map((_, at) => ({ x: text(x, at), y: y.values[at] }));
  await chart(root, {
    title: `${y.name} over ${x.name}`, note: "one point a case",
    spec: {
      data: { values: rows }, height: 360, mark: { type: "point", filled: true, size: 40, tooltip: true },
      encoding: {
        x: { field: "x", type: x.levels ? "nominal" : "quantitative", title: x.name, scale: { zero: false } },
        y: { field: "y", type: "quantitative", title: y.name, scale: { zero: false } },
      },
    },
  });
});
