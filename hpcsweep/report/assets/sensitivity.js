"use strict";
// The page Sensitivity: which parameters a metric depends on, and at which values cases fail.
(() => {
  const { element, chart, select, table, number, plural, note, width, colour } = report;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  report.page("sensitivity", async (root, data) => {
    const why = whyNothing(data);
    if (why) note(root, why); else await addMetrics(root, data);
    await addFailures(root, data.failures);
  });

  function whyNothing({ complete, metrics, params }) {
    if (!complete) return "No case is complete yet: there is nothing to compare.";
    if (!metrics.length) return "No metric is a number: there is nothing to average.";
    if (params.length) return "";
    return complete === 1 ? "One case is complete: there is nothing to compare it with." : "No parameter differs between the complete cases.";
  }

  // --- figures: a small one for each parameter, side by side, on one scale of y -------------------

  function sideBySide(figures, isWide) {
    const columns = Math.max(1, Math.min(3, Math.floor(width() / 280)));
    const wide = Math.floor((width() - 24) / columns) - (isWide ? 62 : 78);
    return {
      width: undefined, autosize: { type: "pad" }, columns, spacing: 26,
      concat: figures.map((one) => ({ ...one, width: wide, height: 150 })),
      resolve: { scale: { y: "shared" } },
    };
  }

  // The axis of a parameter: numbers where they are, else a place for each level, in order.
  function axisOf(effect) {
    const places = effect.levels.map((one) => one.place);
    if (!effect.is_number) return { field: "label", type: "nominal", sort: null, title: effect.param, axis: { labelAngle: -35, labelLimit: 90 } };
    const low = Math.min(...places), high = Math.max(...places);
    const type = low > 0 && high / low >= 1000 ? "log" : "linear";
    return { field: "place", type: "quantitative", title: effect.param, scale: { type, nice: false, padding: 12, ...(type === "linear" ? { zero: false } : {}) }, axis: { tickCount: 4, labelOverlap: true, grid: false } };
  }

  // The means or rates at the levels of a parameter with their intervals; `rule` is that of all cases.
  function pointsWithIntervals(effect, what, y, extra, rule = null) {
    const x = axisOf(effect);
    const tooltip = [
      { field: "label", title: effect.are_ranges ? `range of ${effect.param}` : effect.param },
      { field: what, title: what }, { field: "low", title: "interval, from" }, { field: "high", title: "interval, to" }, ...extra,
    ];
    const line = effect.is_number ? [{ mark: { type: "line", opacity: 0.35 }, encoding: { x, y: { field: what, ...y } } }] : [];
    const known = effect.levels.filter((one) => one.low != null);
    const intervals = known.length ? [{ data: { values: known }, mark: { type: "rule", strokeWidth: 2, opacity: 0.55, color: colour("mark") }, encoding: { x, y: { field: "low", ...y }, y2: { field: "high" } } }] : [];
    const across = rule == null ? [] : [{ data: { values: [{ rule }] }, mark: { type: "rule", strokeDash: [4, 4], color: colour("soft") }, encoding: { y: { field: "rule", ...y } } }];
    return {
      data: { values: effect.levels },
      layer: [
        ...across, ...line,
        ...intervals,
        { mark: { type: "point", filled: true, size: 46, opacity: 1 }, encoding: { x, y: { field: what, ...y }, tooltip } },
      ],
    };
  }

  // --- metrics ------------------------------------------------------------------------------------

  async function addMetrics(root, data) {
    const { metrics } = data, names = metrics.map((one) => one.name);
    if (data.used < data.complete) note(root, `Computed from ${number(data.used)} of the ${number(data.complete)} complete cases, drawn at random.`);
    for (const [a, b] of data.together) note(root, `${a} and ${b} always change together: their effects cannot be told apart.`, "problem");
    const controls = element("div", { class: "controls" }), body = element("div");
    if (names.length > 1) {
      select(controls, "Metric", names.map((name) => [name, name]), names[0], (name) => drawMetric(body, data, metrics[names.indexOf(name)]));
      root.append(controls);
    }
    if (data.left_out.length) note(root, `Of so many cases not all columns are read; not here: ${data.left_out.join(", ")}`);
    if (data.more_metrics.length) note(root, `The first ${metrics.length} metrics; not here: ${data.more_metrics.join(", ")}`);
    root.append(body);
    await drawMetric(body, data, metrics[0]);
  }

  async function drawMetric(body, data, metric) {
    body.replaceChildren();
    if (!metric.cases) { note(body, `No complete case has a finite ${metric.name}.`); return; }
    body.append(element("h3", { text: `Share of the variance of ${metric.name}` }));
    const known = metric.shares.filter((one) => one.share != null);
    if (known.length) await drawShares(body, data, metric, known);
    else {
      note(body, metric.effects.every((effect) => effect.levels.every((one) => one.mean === metric.mean))
        ? `${metric.name} is the same in all cases: there is no variance to share.`
        : "It is not defined: there are too few cases to tell a parameter from chance.");
    }
    body.append(element("h3", { text: `Mean of ${metric.name} by parameter` }));
    await drawMeans(body, data, metric);
  }

  async function drawShares(body, data, metric, known) {
    const sum = known.reduce((total, one) => total + one.share, 0), missing = metric.shares.length - known.length;
    await chart(body, {
      title: `Share of the variance of ${metric.name} by parameter`,
      note: `Of ${plural(metric.cases, "case")}${metric.left_out ? `; ${number(metric.left_out)} without a finite value are left out` : ""}. ` +
        `The shares add up to ${Math.round(100 * sum)} %.${missing ? ` Of ${plural(missing, "parameter")} it is not defined.` : ""}`,
      spec: {
        data: { values: known.map((one) => ({ ...one, text: `${(100 * one.share).toFixed(one.share < 0.095 ? 1 : 0)} %` })) },
        height: 26 * known.length,
        encoding: {
          y: { field: "param", type: "nominal", sort: null, title: null },
          x: { field: "share", type: "quantitative", title: null, scale: { domain: [0, Math.max(1, sum)] }, axis: { format: ".0%", tickCount: 5 } },
        },
        layer: [
          { mark: { type: "bar", cornerRadiusEnd: 2, height: { band: 0.62 } }, encoding: { tooltip: [{ field: "param", title: "parameter" }, { field: "text", title: "share" }] } },
          { mark: { type: "text", align: "left", dx: 5, color: colour("soft") }, encoding: { text: { field: "text" } } },
        ],
      },
    });
    const kind = data.is_grid
      ? `The complete cases are a grid (${number(data.combinations[0])} of its ${number(data.combinations[1])} combinations), so the parameters are independent; what replicates add by chance is subtracted.`
      : "What means of few cases add by chance is subtracted (epsilon squared: Kelley 1935). It assumes that parameters were varied independently; else shares overlap.";
    note(body, "The share of a parameter is the variance of the means at its values, over the variance of all cases (the first-order index of Sobol'). " +
      kind + (sum < 0.95 ? " What is missing to 100 % is interaction of parameters, and chance." : ""));
  }

  async function drawMeans(body, data, metric) {
    const drawn = metric.effects.filter((effect) => effect.levels.length > 1);
    const y = { type: "quantitative", title: null, scale: { zero: false }, axis: { tickCount: 5 } };
    await chart(body, {
      title: `Mean of ${metric.name} at the values of each parameter`,
      note: "Points are means over all other parameters; lines are 95 % bootstrap intervals of the mean." +
        (drawn.length < data.params.length ? ` ${drawn.length} of ${plural(data.params.length, "parameter")}, those with the largest share.` : ""),
      spec: sideBySide(drawn.map((effect) => pointsWithIntervals(effect, "mean", y, [{ field: "cases" }])), true),
    });
    note(body, data.is_grid
      ? "An interval says how far the mean would move if other values of the other parameters had been chosen; on a full grid all means are over the same ones, so differences between them are more certain than the intervals."
      : "An interval says how far the mean would move with other cases of this kind.");
  }

  // --- failures -----------------------------------------------------------------------------------

  async function addFailures(root, { failed, ended, params }) {
    root.append(element("h3", { text: "Failures by parameter" }));
    if (!ended) { note(root, "No case has ended yet."); return; }
    if (!failed) { note(root, `None of the ${plural(ended, "case")} that ended has failed.`); return; }
    note(root, `${number(failed)} of ${plural(ended, "case")} that ended failed: ${percent(failed / ended)}.`);
    if (!params.length) { note(root, "No parameter differs between them."); return; }
    const differ = params.filter((one) => one.differs);
    note(root, differ.length
      ? `More or fewer than elsewhere fail at some values of ${differ.map((one) => one.param).join(", ")}.`
      : "At no value do surely more or fewer fail than elsewhere.");
    const drawn = differ.length ? differ : params.slice(0, 3), all = failed / ended;
    const highest = Math.max(...drawn.flatMap((one) => one.levels.map((level) => level.high)));
    const y = { type: "quantitative", title: null, scale: { domain: [0, 1.05 * highest], nice: false }, axis: { format: "%", tickCount: 5 } };
    await chart(root, {
      title: "Share of failed cases at the values of each parameter",
      note: "Points are the share of failed cases; lines are 95 % Wilson intervals; the dashed line is the share of all cases.",
      spec: sideBySide(drawn.map((one) => pointsWithIntervals(one, "rate", y, [{ field: "failed" }, { field: "ended" }], all)), false),
    });
    const worst = differ.flatMap(({ param, levels }) => levels.filter((one) => one.low > all).map((one) => [param, one.label, one.failed, one.ended, percent(one.rate)]));
    if (worst.length) table(root, { head: ["parameter", "value", "failed", "ended", "share"], rows: worst, numbers: [2, 3, 4] });
  }
})();
