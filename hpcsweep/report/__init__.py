"""The report of a sweep: one HTML file, read without network and server. It writes only that file.

How it is made. `source.ReportSource` is what a page may read: the sweep, its `Summary`, its open
tables and `cases`, the begun cases as numpy columns, read once for all pages. A page is a line in
`pages.PAGES` and a module with one function `data(source)` that returns plain JSON-able data;
every text in it is escaped and cut by `pages.page_data`, the one way by which data reaches a page,
so that a live page can send the same. `assets/NAME.html.j2` shows that data without JavaScript,
`assets/NAME.js` draws it; a page has either or both. A script calls

    report.page("NAME", (root, data) => { … });

which runs when the page is opened, and again after new data, another width or another colour
scheme. Inside, `report.element(tag, {class, text, …}, …children)` makes elements (never
`innerHTML`), `report.chart(root, {title, note, spec, tooltip})` draws a Vega-Lite specification
in the colours of the page and returns its view (fields have names of our own, such as `x` and `y`;
the user's names are titles), `report.table(root, {head, rows})` a table, `report.select(…)` a
labelled choice and `report.number(value)` the text of a number. All styles are in
`assets/report.css`: the Content-Security-Policy forbids styles in elements, as it forbids
scripts that are not in the file and any request.
"""
