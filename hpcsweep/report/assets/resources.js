"use strict";
// The page Resources: for each set of options what tasks asked for and used, and what to ask for.
(() => {
  const { element, chart, number, plural, duration, note, copyButton, colour } = report;
  const percent = (used, asked) => (asked ? ` (${Math.round(100 * used / asked)} %)` : "");
  const short = (value) => number(Number(value.toPrecision(3)));

  report.page("resources", async (root, { uses, cases_min: least }) => {
    if (!uses.length) note(root, "No attempt has ended yet: nothing is known of what cases use.");
    for (const [at, use] of uses.entries()) {
      if (uses.length > 1) root.append(element("h3", { text: `Options ${at + 1} of ${uses.length}` }));
      root.append(facts(use));
      showAdvice(root, use, least);
      await drawMemory(root, use);
      await drawTime(root, use);
      await distribution(root, "CPUs that a case used", use.cpus, 1, "CPUs", [[use.cpus_asked / use.cases_at_once, "asked for", "failed"]], "cases");
    }
  });

  function size(bytes) {
    if (bytes < 2 ** 20) return `${Math.round(bytes / 2 ** 10)} KiB`;
    return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  }

  function facts(use) {
    const asked = Object.entries(use.asked).map(([name, value]) => `${name} ${value}`).join(", ");
    const { memory_bytes: memory, task_seconds: time } = use;
    const rows = [
      ["asked for", asked || "nothing: the cluster's defaults"],
      ["attempts", `${number(use.attempts)} in ${plural(use.tasks, "task")}${use.cases_at_once > 1 ? `, ${use.cases_at_once} at once` : ""}; ${number(use.complete)} complete`],
      ...Object.entries(use.ran_out).map(([reason, count]) => ["", `${number(count)} ended by ${reason === "timeout" ? "time" : "memory"}`]),
      ["CPU", use.cpu_text],
      ["memory", memory.needed == null ? "no complete case with a known peak" : `${size(memory.needed)} was enough for 99 % of the cases` +
        (use.whole_nodes ? "; the tasks had all memory of their nodes" : memory.asked == null ? "; nothing was asked for" : `, of ${size(memory.asked)}${percent(memory.needed, memory.asked)}`)],
      ["time", `${duration(time.needed ?? 0)} was enough for 99 % of the tasks` + (time.asked == null ? "; no limit was asked for" : `, of ${duration(time.asked)}${percent(time.needed ?? 0, time.asked)}`)],
    ];
    if (use.gpus) rows.push(["GPUs", `${use.gpus}; their use is not measured`]);
    return element("table", { class: "counts" }, element("tbody", {}, ...rows.map(([name, text]) =>
      element("tr", {}, element("th", { scope: "row", text: name }), element("td", { text })))));
  }

  // A histogram with a line at what was asked for, and one at what was enough.
  async function distribution(root, title, bins, unit, unitName, marks, what) {
    if (!bins.length) return;
    const end = Math.max(bins.at(-1).high, ...marks.map(([value]) => value)) / unit;
    const least = end / 120;  // a bar has a width, even if all values are equal
    const values = bins.filter((one) => one.count).map((one) => ({
      from: one.low / unit, to: Math.max(one.high / unit, one.low / unit + least), count: one.count,
    }));
    root.append(element("h4", { text: title }));
    const lines = marks.map(([value, text, name]) => ({ value: value / unit, text, name }));
    await chart(root, {
      title, note: lines.map((one) => `${one.text}: ${short(one.value)} ${unitName}`).join("; "),
      spec: {
        height: 140,
        encoding: { x: { type: "quantitative", title: unitName, scale: { domain: [0, end * 1.03], nice: false } } },
        layer: [
          {
            data: { values }, mark: { type: "bar", binSpacing: 0.5 },
            encoding: { x: { field: "from" }, x2: { field: "to" }, y2: { datum: 0 }, y: { field: "count", type: "quantitative", title: what, axis: { tickMinStep: 1, tickCount: 4 } }, tooltip: [{ field: "from" }, { field: "to" }, { field: "count", title: what }] },
          },
          { data: { values: lines }, mark: { type: "rule", strokeWidth: 2 }, encoding: { x: { field: "value" }, color: { field: "text", type: "nominal", scale: { domain: lines.map((one) => one.text), range: lines.map((one) => colour(one.name)) }, legend: { orient: "top", title: null, symbolType: "stroke" } }, tooltip: [{ field: "text", title: "line" }, { field: "value", title: unitName }] } },
        ],
      },
    });
  }

  function showAdvice(root, use, least) {
    root.append(element("h4", { text: "What to ask for" }));
    if (use.complete < least) { note(root, `There is no advice before ${least} cases are complete.`); return; }
    if (!use.advice.length) { note(root, "What was asked for fits what was used."); return; }
    note(root, "In the manifest, below slurm:");
    const text = use.advice.map((one) => one.text).join("\n");
    root.append(element("pre", { class: "advice", text }), copyButton(use.advice.map((one) => `${one.option}: ${one.value}`).join("\n")));
  }

  const marks = ({ asked, needed }) => [[asked, "asked for", "failed"], [needed, "enough for 99 %", "complete"]].filter(([value]) => value != null);

  function drawMemory(root, { memory_bytes: memory, memory: bins, cases_at_once: sharing }) {
    const most = Math.max(memory.asked ?? 0, bins.at(-1)?.high ?? 0);
    const [unit, name] = most >= 2 ** 31 ? [2 ** 30, "GiB"] : [2 ** 20, "MiB"];
    const each = { asked: memory.asked && memory.asked / sharing, needed: memory.needed && memory.needed / sharing };
    const title = `Memory of a case${sharing > 1 ? `; ${sharing} share a task` : ""}`;
    return distribution(root, title, bins, unit, name, marks(each), "cases");
  }

  function drawTime(root, { task_seconds: time, time: bins }) {
    const longest = Math.max(time.asked ?? 0, bins.at(-1)?.high ?? 0);
    const [unit, name] = longest >= 7200 ? [3600, "hours"] : longest >= 120 ? [60, "minutes"] : [1, "seconds"];
    return distribution(root, "Time of a task", bins, unit, name, marks(time), "tasks");
  }
})();
