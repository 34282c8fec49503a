"""The report of a sweep, as one HTML file without network and server, and as a live page.

How it is made. `source.ReportSource` is what a page may read: the sweep, its `Summary`, its open
tables and `cases`, the begun cases as numpy columns, read once for all pages. A page is a line in
`pages.PAGES` and a module with one function `data(source)` that returns plain JSON-able data;
every text in it is escaped and cut by `pages.page_data`, the one way by which data reaches a page.
`assets/NAME.html.j2` shows that data without JavaScript, `assets/NAME.js` draws it; a page has
either or both. A script calls

    report.page("NAME", (root, data) => { … });

which runs when the page is opened, and again after new data, another width or another colour
scheme. Inside, `report.element(tag, {class, text, …}, …children)` makes elements (never
`innerHTML`), `report.chart(root, {title, note, how, spec, tip})` draws a Vega-Lite specification
in the colours of the page and returns its view (fields have names of our own, such as `x` and `y`;
the user's names are titles), `report.table(root, {head, rows})` a table, `report.select(…)` and
`report.field(…)` labelled choices and `report.number(value)` the text of a number. A page whose
script is long has more of them, named in `pages`. All styles are in `assets/report.css`: the
Content-Security-Policy forbids styles in elements, as it forbids scripts that are not in the file
and any request.

Before all pages are printed each is drawn anew with the class `paper` on the document: in light
colours, as wide as a sheet, as SVG.

A live page, of `view`, is the same file, with `assets/live.js` and `connect-src 'self'` in its
policy. `live.LivePages` reads, in one thread, the pages that somebody looks at; `server` sends
them, and an event for each reading. If a reading differs, the page asks for its update, which is
the file again without its program, and `report.receive` puts the sections that differ in place.
"""
