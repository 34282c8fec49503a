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
  function fields(root, column, values, changed) {
    return (of.isNumber(column) ? numbers : texts)(root, column, values, changed);
  }

  function numbers(root, column, values, changed) {
    const ends = ENDS.map((end, at) => report.field(root, `${column.name} ${end}`, { placeholder: number(values.at(-at)) }, () => {
      const [low, high] = ends.map((one) => (one.value === "" ? null : Number(one.value)));
      changed(low == null && high == null ? null : [low ?? -Infinity, high ?? Infinity]);
    }));
    const text = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : "");
    return shown(ends, (range, at) => (range ? text(range[at]) : ""));
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
