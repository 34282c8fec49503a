"use strict";
// The page Differences: of each metric the values in B over those in A, and the largest differences.
report.page("differences", async (root, data) => {
  const { element, chart, select, table, number, note, colour } = report;
  if (!data.count) { note(root, "No metric has two values."); return; }
  const names = [...new Set(data.differences.map((one) => one.metric))];
  const body = element("div");

  async function draw(name) {
    body.replaceChildren();
    const all = data.differences.filter((one) => one.metric === name);
    const values = all.filter((one) => typeof one.a === "number" && typeof one.b === "number");
    if (values.length) {
      const ends = values.flatMap((one) => [one.a, one.b]);
      const low = Math.min(...ends), high = Math.max(...ends);
      const axis = (title) => ({ type: "quantitative", title, scale: { domain: [low, high], zero: false } });
      const equal = data.metrics[name]?.equal ?? 0;
      await chart(body, {
        title: `${name} in B over ${name} in A`,
        note: `A point for each of ${number(values.length)} cases that differ${data.count > data.differences.length ? ", the largest ones" : ""}; ` +
          `${number(equal)} with the same value are not drawn: they would lie on the line.`,
        spec: {
          height: 360,
          layer: [
            { data: { values: [{ x: low, y: low, x2: high, y2: high }] }, mark: { type: "rule", color: colour("soft"), strokeDash: [4, 4] }, encoding: { x: { field: "x", ...axis(`${name} in A (${data.a.sweep})`) }, y: { field: "y", ...axis(`${name} in B (${data.b.sweep})`) }, x2: { field: "x2" }, y2: { field: "y2" } } },
            {
              data: { values }, mark: { type: "point", filled: true, size: 40, opacity: 0.7 },
              encoding: {
                x: { field: "a", type: "quantitative" }, y: { field: "b", type: "quantitative" },
                tooltip: [{ field: "index_a", title: "index in A" }, { field: "index_b", title: "index in B" }, { field: "a", title: "A" }, { field: "b", title: "B" }, { field: "absolute", title: "difference" }],
              },
            },
          ],
        },
      });
    }
    body.append(element("h3", { text: `Largest differences of ${name}` }));
    table(body, {
      head: ["index in A", "index in B", "A", "B", "difference", "relative"],
      rows: all.slice(0, data.listed).map((one) => [one.index_a, one.index_b, one.a, one.b, one.absolute, one.relative]),
      numbers: [0, 1, 2, 3, 4, 5],
    });
  }

  if (names.length > 1) {
    const controls = element("div", { class: "controls" });
    select(controls, "Metric", names.map((name) => [name, name]), names[0], draw);
    root.append(controls);
  }
  root.append(body);
  await draw(names[0]);
});
