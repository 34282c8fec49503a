"use strict";
report.page("resources", async (root, data) => {
  const { element, chart, number, copyButton, colour } = report;
  const say = (text, kind = "note") => root.append(element("p", { class: kind, text }));
  const plural = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
  const percent = (used, asked) => (asked ? ` (${Math.round(100 * used / asked)} %)` : "");

  function size(bytes) {
    if (bytes < 2 ** 20) return `${Math.round(bytes / 2 ** 10)} KiB`;
    return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  }

  function span(seconds) {
    if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
    return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toPrecision(3)} h`;
  }

  const short = (value) => number(Number(value.toPrecision(3)));

  function facts(use) {
    const asked = Object.entries(use.asked).map(([name, value]) => `${name} ${value}`).join(", ");
    const { cpu_seconds: cpu, memory_bytes: memory, task_seconds: time } = use;
    const rows = [
      ["asked for", asked || "nothing: the cluster's defaults"],
      ["attempts", `${number(use.attempts)} in ${plural(use.tasks, "task")}${use.cases_at_once > 1 ? `, ${use.cases_at_once} at once` : ""}; ${number(use.complete)} complete`],
      ...Object.entries(use.ran_out).map(([reason, count]) => ["", `${number(count)} ended by ${reason === "timeout" ? "time" : "memory"}`]),
      ["CPU", `${short(cpu.used / 3600)} of ${short(cpu.asked / 3600)} core-hours${percent(cpu.used, cpu.asked)}`],
      ["memory", memory.needed == null ? "no complete case with a known peak" : `${size(memory.needed)} was enough for 99 % of the cases` +
        (use.whole_nodes ? "; the tasks had all memory of their nodes" : memory.asked == null ? "; nothing was asked for" : `, of ${size(memory.asked)}${percent(memory.needed, memory.asked)}`)],
      ["time", `${span(time.needed ?? 0)} was enough for 99 % of the tasks` + (time.asked == null ? "; no limit was asked for" : `, of ${span(time.asked)}${percent(time.needed ?? 0, time.asked)}`)],
    ];
    if (use.gpus) rows.push(["GPUs", `${use.gpus}; their use is not measured`]);
    return element("table", { class: "counts" }, element("tbody", {}, ...rows.map(([name, text]) =>
      element("tr", {}, element("th", { scope: "row", text: name }), element("td", { text })))));
  }

  // A histogram with a line at what was asked for, and one at what was enough.
  async function distribution(title, bins, unit, unitName, marks, what) {
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

  function advice(use) {
    root.append(element("h4", { text: "What to ask for" }));
    if (use.complete < data.cases_min) return say(`There is no advice before ${data.cases_min} cases are complete.`);
    if (!use.advice.length) return say("What was asked for fits what was used.");
    say("In the manifest, below slurm:");
    const text = use.advice.map((one) => one.text).join("\n");
    root.append(element("pre", { class: "advice", text }), copyButton(use.advice.map((one) => `${one.option}: ${one.value}`).join("\n")));
  }

  if (!data.uses.length) return say("No attempt has ended yet: nothing is known of what cases use.");
  for (const [at, use] of data.uses.entries()) {
    if (data.uses.length > 1) root.append(element("h3", { text: `Options ${at + 1} of ${data.uses.length}` }));
    root.append(facts(use));
    advice(use);
    const { memory_bytes: memory, task_seconds: time } = use;
    const most = Math.max(memory.asked ?? 0, use.memory.at(-1)?.high ?? 0);
    const [unit, name] = most >= 2 ** 31 ? [2 ** 30, "GiB"] : [2 ** 20, "MiB"];
    const longest = Math.max(time.asked ?? 0, use.time.at(-1)?.high ?? 0);
    const [seconds, timeName] = longest >= 7200 ? [3600, "hours"] : longest >= 120 ? [60, "minutes"] : [1, "seconds"];
    const marks = (of) => [[of.asked, "asked for", "failed"], [of.needed, "enough for 99 %", "complete"]].filter(([value]) => value != null);
    const each = use.cases_at_once > 1 ? { asked: memory.asked && memory.asked / use.cases_at_once, needed: memory.needed && memory.needed / use.cases_at_once } : memory;
    await distribution(use.cases_at_once > 1 ? `Memory of a case; ${use.cases_at_once} share a task` : "Memory of a case", use.memory, unit, name, marks(each), "cases");
    await distribution("Time of a task", use.time, seconds, timeName, marks(time), "tasks");
    await distribution("CPUs that a case used", use.cpus, 1, "CPUs", [[use.cpus_asked / use.cases_at_once, "asked for", "failed"]], "cases");
  }
});
