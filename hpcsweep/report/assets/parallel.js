"use strict";
// Parallel coordinates: a line for each case, axes that are brushed by pointer, keys and fields.
report.parallel = (() => {
  const LINES_MAX = 5000, HEIGHT = 300, TOP = 14, BOTTOM = 18, NEAR = 24, LABEL_MAX = 14;
  const HOW = "Drag along an axis to select; a click removes it. By keyboard: the arrow keys at an axis name, or Enter for its ends.";
  const { element, number, colour, columns: of } = report;

  // --- axes: the place of a case on one is a share of its height ----------------------------------

  function axisOf(column, x, count) {
    const all = of.different(column), isLog = of.isLogarithmic(column);
    const low = all[0], high = all.at(-1);
    const places = of.isNumber(column) ? null : new Map(all.map((one, at) => [one, all.length > 1 ? at / (all.length - 1) : 0.5]));
    const share = (value) => (places ? places.get(value)
      : low === high ? 0.5 : isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    const valueAt = (part) => (isLog ? low * (high / low) ** part : low + part * (high - low));
    const shares = Float64Array.from({ length: count }, (_, at) => share(of.value(column, at)) ?? NaN);
    return { column, x, isLog, low, high, all, places, share, valueAt, shares, range: null };
  }

  // The range of an axis in values of its column, as fields have it, and back.
  function valuesOf({ places, all, range, valueAt }) {
    if (!range) return null;
    return places ? all.filter((one) => places.get(one) >= range[0] && places.get(one) <= range[1]) : range.map(valueAt);
  }

  function sharesOf({ places, share, isLog }, range) {
    if (!range) return null;
    if (places) return [share(range[0]), share(range.at(-1))];
    return range.map((value) => (isLog && value <= 0 ? -Infinity : share(value)));
  }

  function selected(axes, count) {
    const active = axes.filter((one) => one.range);
    if (!active.length) return null;
    const rows = new Set();
    for (let at = 0; at < count; at++) {
      if (active.every((one) => one.shares[at] >= one.range[0] && one.shares[at] <= one.range[1])) rows.add(at);
    }
    return rows;
  }

  // --- drawing ------------------------------------------------------------------------------------

  const y = (share) => TOP + (1 - Math.min(1, Math.max(0, share))) * (HEIGHT - TOP - BOTTOM);

  // Draw some of the rows, evenly spaced; returns how many.
  function drawLines(pen, axes, rows, style) {
    const every = Math.max(1, Math.ceil(rows.length / LINES_MAX));
    pen.lineWidth = 1;
    for (let at = 0; at < rows.length; at += every) {
      const row = rows[at];
      let isBegun = false;
      pen.strokeStyle = style(row);
      pen.beginPath();
      for (const { x, shares } of axes) {
        if (Number.isNaN(shares[row])) { isBegun = false; continue; }
        if (isBegun) pen.lineTo(x, y(shares[row])); else pen.moveTo(x, y(shares[row]));
        isBegun = true;
      }
      pen.stroke();
    }
    return Math.ceil(rows.length / every);
  }

  function drawAxis(pen, axis, isLast, step) {
    const { x, range, column, places, all, low, high } = axis;
    pen.strokeStyle = colour("soft"); pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x, y(0)); pen.lineTo(x, y(1)); pen.stroke();
    if (range) {
      pen.fillStyle = colour("accent"); pen.globalAlpha = 0.35;
      pen.fillRect(x - 6, y(range[1]), 12, Math.max(3, y(range[0]) - y(range[1])));
      pen.globalAlpha = 1;
    }
    const ends = low === high ? [[low, 0.5]] : [[low, 0], [high, 1]];
    const isFew = !of.isNumber(column) && all.length <= 12;
    for (const [value, share] of isFew ? places : ends) {
      const text = number(step && step < 95 && typeof value === "number" ? Number(value.toPrecision(2)) : value);
      drawLabel(pen, text.length > LABEL_MAX ? `${text.slice(0, LABEL_MAX - 1)}…` : text, isLast ? x - 5 : x + 5, y(share), isLast);
    }
  }

  function drawLabel(pen, text, x, at, isLeft) {
    const wide = pen.measureText(text).width + 2;
    pen.fillStyle = colour("ground"); pen.globalAlpha = 0.75;
    pen.fillRect(isLeft ? x - wide + 1 : x - 1, at - 7, wide, 14);
    pen.fillStyle = colour("ink"); pen.globalAlpha = 1;
    pen.textBaseline = "middle"; pen.textAlign = isLeft ? "right" : "left";
    pen.fillText(text, x, at);
  }

  // A function that draws the rows which are selected; `rows` is null for all.
  function painter(canvas, axes, step, count, painted, scale) {
    const pen = canvas.getContext("2d"), ramp = vega.scheme("viridis"), paint = axisOf(painted, 0, count);
    const all = Array.from({ length: count }, (_, at) => at), behind = new OffscreenCanvas(canvas.width, canvas.height);
    const behindPen = behind.getContext("2d");
    behindPen.scale(scale, scale); behindPen.globalAlpha = 0.5;
    drawLines(behindPen, axes, all, () => colour("line"));
    return (some) => {
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      if (some) pen.drawImage(behind, 0, 0);
      pen.scale(scale, scale);
      const rows = some ? [...some] : all;
      pen.globalAlpha = Math.max(0.12, Math.min(0.8, 60 / Math.sqrt(rows.length + 1) / 4));
      const drawn = drawLines(pen, axes, rows, (row) => (Number.isNaN(paint.shares[row]) ? colour("pending") : ramp(0.05 + 0.85 * paint.shares[row])));
      pen.globalAlpha = 1;
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      axes.forEach((one, at) => drawAxis(pen, one, at > 0 && at === axes.length - 1, step));
      return drawn;
    };
  }

  // --- by pointer and by keys ---------------------------------------------------------------------

  function followPointer(canvas, axes, changed) {
    let active = null, from = 0;
    const share = (event) => {
      const place = event.clientY - canvas.getBoundingClientRect().top;
      return Math.min(1, Math.max(0, 1 - (place - TOP) / (HEIGHT - TOP - BOTTOM)));
    };
    const select = (event) => {
      const to = share(event);
      active.range = Math.abs(to - from) < 0.01 ? null : [Math.min(from, to), Math.max(from, to)];
      changed(active);
    };
    canvas.addEventListener("pointerdown", (event) => {
      const x = event.clientX - canvas.getBoundingClientRect().left;
      const near = axes.reduce((best, one) => (Math.abs(one.x - x) < Math.abs(best.x - x) ? one : best));
      if (Math.abs(near.x - x) > NEAR) return;
      active = near; from = share(event);
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => { if (active) select(event); });
    canvas.addEventListener("pointerup", (event) => {
      if (active) select(event);
      active = null;
    });
  }

  // The name of an axis: arrow keys move its range, Enter or a click shows its fields.
  function nameButton(axis, most, changed, opened) {
    const move = (event) => {
      const by = { ArrowUp: 0.1, ArrowDown: -0.1 }[event.key];
      if (event.key === "Escape") axis.range = null;
      else if (by) {
        const [low, high] = axis.range ?? [by > 0 ? -0.1 : 0.8, by > 0 ? 0.2 : 1.1];
        axis.range = low + by < -0.01 || high + by > 1.01 ? axis.range ?? [0, 0.3] : [low + by, high + by];
      } else return;
      event.preventDefault();
      changed(axis);
    };
    const button = element("button", {
      type: "button", text: `${axis.column.name}${axis.isLog ? " (log)" : ""}`, click: () => opened(axis), keydown: move,
      title: `${axis.column.name}: arrow keys select a part, Escape removes it, Enter shows its ends`,
    });
    button.style.left = `${axis.x}px`;
    button.style.maxWidth = `${most}px`;
    return button;
  }

  // --- the figure ---------------------------------------------------------------------------------

  // `columns` are those of the axes; lines have the colour of `painted`. `brushed` gets a Set of rows, or null.
  // The result shows the rows of a selection that another figure made, too.
  async function parallel(root, { columns, count, painted, brushed }) {
    await report.libraries();
    const width = report.width(), scale = report.isPaper() ? 2 : devicePixelRatio || 1;
    const margin = Math.min(70, width / (columns.length * 2));
    const step = columns.length > 1 ? (width - 2 * margin) / (columns.length - 1) : 0;
    const axes = columns.map((column, at) => axisOf(column, margin + at * step, count));
    const canvas = element("canvas", { width: width * scale, height: HEIGHT * scale, "aria-hidden": "true" });
    canvas.style.width = `${width}px`;
    const names = element("div", { class: "axes" }), caption = element("span"), fields = element("div", { class: "controls" });
    root.append(element("figure", { "aria-label": "Parallel coordinates" }, element("div", { class: "parallel" }, names, canvas), element("figcaption", {}, caption, element("span", { class: "how", text: HOW }))), fields);
    const paint = painter(canvas, axes, step, count, painted, scale);
    let isPending = false, latest = null, shown = null, ends = null;

    function show(rows) {
      const drawn = paint(rows), size = rows?.size ?? count;
      caption.textContent = (rows ? `${number(size)} of ${number(count)} cases are selected` : `All ${number(count)} cases`) +
        (drawn < size ? `, of which ${number(drawn)} are drawn` : "") +
        `. Lines have the colour of ${painted.name}.`;
    }

    function changed(axis) {
      if (axis === shown) ends.show(valuesOf(axis));
      brushed(selected(axes, count));
    }

    function opened(axis) {
      fields.replaceChildren();
      shown = axis;
      ends = report.ranges.fields(fields, axis.column, axis.all, (range) => {
        axis.range = sharesOf(axis, range);
        brushed(selected(axes, count));
      });
      ends.show(valuesOf(axis));
      ends.focus();
    }

    followPointer(canvas, axes, changed);
    names.append(...axes.map((one) => nameButton(one, Math.max(40, (step || width) - 6), changed, opened)));
    show(null);
    return { show: (rows) => {
      latest = rows;
      if (!isPending) requestAnimationFrame(() => { isPending = false; show(latest); });
      isPending = true;
    } };
  }
  return parallel;
})();
