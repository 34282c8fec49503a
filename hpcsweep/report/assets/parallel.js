"use strict";
// Parallel coordinates: a line for each case, axes that are brushed by pointer or keys.
report.parallel = (() => {
  const LINES_MAX = 5000, HEIGHT = 300, TOP = 14, BOTTOM = 18, NEAR = 24;
  const { element, number, colour } = report;

  // `axes` are columns; `painted` is the one whose colour lines have. `brushed` gets a Set of rows or null.
  async function parallel(root, { axes, count, painted, brushed }) {
    await report.libraries();
    const width = report.width(), scale = devicePixelRatio || 1;
    const canvas = element("canvas", { width: width * scale, height: HEIGHT * scale, "aria-hidden": "true" });
    const labels = element("div", { class: "axes" });
    const box = element("div", { class: "parallel" }, labels, canvas);
    const note = element("figcaption");
    root.append(element("figure", { "aria-label": "Parallel coordinates" }, box, note));
    const pen = canvas.getContext("2d");
    const margin = Math.min(70, width / (axes.length * 2));
    const step = axes.length > 1 ? (width - 2 * margin) / (axes.length - 1) : 0;
    const made = axes.map((column, at) => axis(column, margin + at * step));
    let others = null, chosen = null, pending = false;
    const ramp = vega.scheme("viridis"), paint = axis(painted, 0);

    function axis(column, x) {
      const all = report.columns.different(column), log = report.columns.isLogarithmic(column);
      const low = all[0], high = all[all.length - 1];
      const places = new Map(all.map((one, at) => [one, all.length > 1 ? at / (all.length - 1) : 0.5]));
      const share = (value) => (!report.columns.isNumber(column) ? places.get(value)
        : low === high ? 0.5 : log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
      const shares = Float64Array.from({ length: count }, (_, at) => share(report.columns.value(column, at)) ?? NaN);
      return { column, x, log, low, high, all, shares, range: null };
    }

    const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);

    function selection() {
      const active = made.filter((one) => one.range);
      if (!active.length) return null;
      const rows = new Set();
      for (let at = 0; at < count; at++) {
        if (active.every((one) => one.shares[at] >= one.range[0] && one.shares[at] <= one.range[1])) rows.add(at);
      }
      return rows;
    }

    function lines(target, rows, style) {
      const every = Math.max(1, Math.ceil(rows.length / LINES_MAX));
      target.lineWidth = 1;
      for (let at = 0; at < rows.length; at += every) {
        const row = rows[at];
        target.strokeStyle = style(row);
        target.beginPath();
        let drawn = false;
        for (const one of made) {
          if (Number.isNaN(one.shares[row])) { drawn = false; continue; }
          if (drawn) target.lineTo(one.x, y(one.shares[row])); else target.moveTo(one.x, y(one.shares[row]));
          drawn = true;
        }
        target.stroke();
      }
    }

    function draw() {
      pending = false;
      const all = Array.from({ length: count }, (_, at) => at);
      if (!others) {
        others = new OffscreenCanvas(canvas.width, canvas.height);
        const target = others.getContext("2d");
        target.scale(scale, scale); target.globalAlpha = 0.5;
        lines(target, all, () => colour("line"));
      }
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      if (chosen) pen.drawImage(others, 0, 0);
      pen.scale(scale, scale);
      const rows = chosen ? [...chosen] : all;
      pen.globalAlpha = Math.max(0.12, Math.min(0.8, 60 / Math.sqrt(rows.length + 1) / 4));
      lines(pen, rows, (row) => (Number.isNaN(paint.shares[row]) ? colour("pending") : ramp(0.05 + 0.85 * paint.shares[row])));
      pen.globalAlpha = 1;
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      made.forEach(drawAxis);
      const drawn = Math.min(rows.length, Math.ceil(rows.length / Math.max(1, Math.ceil(rows.length / LINES_MAX))));
      note.textContent = (chosen ? `${number(chosen.size)} of ${number(count)} cases are selected` : `All ${number(count)} cases`) +
        (drawn < rows.length ? `, of which ${number(drawn)} are drawn` : "") +
        `. Lines have the colour of ${painted.name}. Drag along an axis to select; a click removes it. By keyboard: the arrow keys at an axis name.`;
    }

    function drawAxis(one, at) {
      pen.strokeStyle = colour("soft"); pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(one.x, y(0)); pen.lineTo(one.x, y(1)); pen.stroke();
      if (one.range) {
        pen.fillStyle = colour("accent"); pen.globalAlpha = 0.35;
        pen.fillRect(one.x - 6, y(one.range[1]), 12, Math.max(3, y(one.range[0]) - y(one.range[1])));
        pen.globalAlpha = 1;
      }
      const last = at === made.length - 1 && made.length > 1;
      pen.textAlign = last ? "right" : "left";
      const few = !report.columns.isNumber(one.column) && one.all.length <= 12;
      const ticks = few ? one.all.map((value, i) => [value, one.all.length > 1 ? i / (one.all.length - 1) : 0.5]) : [[one.low, 0], [one.high, 1]];
      for (const [value, share] of one.low === one.high ? ticks.slice(0, 1).map(([v]) => [v, 0.5]) : ticks) {
        const text = number(step && step < 95 && typeof value === "number" ? Number(value.toPrecision(2)) : value), shown = text.length > 14 ? `${text.slice(0, 13)}…` : text;
        const left = last ? one.x - 5 - pen.measureText(shown).width : one.x + 5;
        pen.fillStyle = colour("ground"); pen.globalAlpha = 0.75;
        pen.fillRect(left - 1, y(share) - 7, pen.measureText(shown).width + 2, 14);
        pen.globalAlpha = 1; pen.fillStyle = colour("ink"); pen.textBaseline = "middle";
        pen.fillText(shown, last ? one.x - 5 : one.x + 5, y(share));
      }
    }

    function changed() {
      chosen = selection();
      brushed(chosen);
      if (!pending) { pending = true; requestAnimationFrame(draw); }
    }

    // --- by pointer -------------------------------------------------------------------------------

    let active = null, from = 0;
    const share = (event) => {
      const place = event.clientY - canvas.getBoundingClientRect().top;
      return Math.min(1, Math.max(0, 1 - (place - TOP) / (HEIGHT - TOP - BOTTOM)));
    };
    canvas.addEventListener("pointerdown", (event) => {
      const x = event.clientX - canvas.getBoundingClientRect().left;
      const near = made.reduce((best, one) => (Math.abs(one.x - x) < Math.abs(best.x - x) ? one : best));
      if (Math.abs(near.x - x) > NEAR) return;
      active = near; from = share(event);
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!active) return;
      const to = share(event);
      active.range = Math.abs(to - from) < 0.01 ? null : [Math.min(from, to), Math.max(from, to)];
      changed();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (active && Math.abs(share(event) - from) < 0.01) { active.range = null; changed(); }
      active = null;
    });

    // --- by keyboard ------------------------------------------------------------------------------

    for (const one of made) {
      const button = element("button", {
        type: "button", text: `${one.column.name}${one.log ? " (log)" : ""}`, title: `${one.column.name}: arrow keys select a part, Escape removes it`,
        keydown: (event) => {
          const by = { ArrowUp: 0.1, ArrowDown: -0.1 }[event.key];
          if (event.key === "Escape") one.range = null;
          else if (by) {
            const [low, high] = one.range ?? [by > 0 ? -0.1 : 0.8, by > 0 ? 0.2 : 1.1];
            one.range = low + by < -0.01 || high + by > 1.01 ? one.range ?? [0, 0.3] : [low + by, high + by];
          } else return;
          event.preventDefault();
          changed();
        },
      });
      button.style.left = `${one.x}px`;
      button.style.maxWidth = `${Math.max(40, (step || width) - 6)}px`;
      labels.append(button);
    }
    draw();
    return { select: (rows) => { chosen = rows ?? selection(); draw(); } };
  }
  return parallel;
})();
