"use strict";
// Ranges of columns, in fields: what a brush selects by pointer is selected by keyboard, with exact ends.
report.ranges = (() => {
  const { columns: of, number } = report;
  const ENDS = ["from", "to"];

  // Whether a value is in a range: the lowest and highest number, or a list of texts.
  const isInside = (column, range, value) => (of.isNumber(column) ? value >= range[0] && value <= range[1] : range.includes(value));

  // What a brush covers, as a range; null if that is nothing.
  function ofBrush(column, covered) {
    if (!covered?.length) return null;
    return of.isNumber(column) ? [Math.min(...covered), Math.max(...covered)] : covered;
  }

  // Where a brush over a range begins and ends, on the axis of a view that shows these values.
  function pixels(view, axis, column, range, values) {
    const scale = view.scale(axis);
    if (!range) return [0, view.signal(axis === "x" ? "width" : "height")];
    if (!scale.bandwidth) return of.sorted(range.map((end) => scale(Math.min(Math.max(end, Math.min(...scale.domain())), Math.max(...scale.domain())))));
    const places = values.filter((one) => isInside(column, range, one)).map(scale);
    if (!places.length) return [0, 0];
    const more = scale.bandwidth() ? 0 : 4;  // a point has no width
    return [Math.min(...places) - more, Math.max(...places) + scale.bandwidth() + more];
  }

  // Fields for the range of a column with these values, in order. `changed` gets the range, null for all.
  // A column of times has the first and last one, in milliseconds since the epoch.
  function fields(root, column, values, changed) {
    return (column.isTime ? times : of.isNumber(column) ? numbers : texts)(root, column, values, changed);
  }

  function numbers(root, column, values, changed) {
    const ends = typed(root, column, (at) => ({ placeholder: number(values.at(-at)) }), changed);
    const text = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : "");
    return shown(ends, (range, at) => (range ? text(range[at]) : ""));
  }

  // The first and last time stand in the fields: who changes the hour need not type the day.
  function times(root, column, values, changed) {
    const second = (value, at) => 1000 * (at ? Math.ceil : Math.floor)(value / 1000);
    const text = (range, at) => new Date(second((range ?? values)[at], at)).toISOString().slice(0, 19);
    return shown(typed(root, column, (at) => ({ type: "datetime-local", step: 1, value: text(null, at) }), changed), text);
  }

  // Two fields with attributes by place, 0 or 1.
  function typed(root, column, attributes, changed) {
    const ends = ENDS.map((end, at) => report.field(root, `${column.name} ${end}`, attributes(at), () => {
      const [low, high] = ends.map((one) => (one.value === "" ? null : one.valueAsNumber));
      changed(low == null && high == null ? null : [low ?? -Infinity, high ?? Infinity]);
    }));
    return ends;
  }

  function texts(root, column, values, changed) {
    const pairs = [["", "any"], ...values.map((one, at) => [at, one])];
    const ends = ENDS.map((end) => report.select(root, `${column.name} ${end}`, pairs, "", () => {
      const [first, last] = ends.map((one) => (one.value === "" ? null : Number(one.value)));
      changed(first == null && last == null ? null : values.slice(first ?? 0, (last ?? values.length) + 1));
    }));
    const place = (value) => (values.includes(value) ? values.indexOf(value) : "");
    return shown(ends, (range, at) => place(range?.at(-at)));
  }

  // What was selected by pointer is shown in the fields, and takes the place of what was typed.
  function shown(ends, text) {
    const show = (range) => ends.forEach((one, at) => { one.value = text(range, at); report.forget(one); });
    return { show, focus: () => ends[0].focus() };
  }

  return { isInside, ofBrush, pixels, fields };
})();
