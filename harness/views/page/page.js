"use strict";
(() => {
  const PAGE = 100;
  const at = id => document.getElementById(id);
  const make = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  // --- claims by verdict
  const choose = at("choose"), buttons = [...choose.querySelectorAll("button")];
  choose.hidden = false;
  choose.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    const wanted = new Set(buttons.filter(b => b.getAttribute("aria-pressed") === "true").map(b => b.dataset.verdict));
    let shown = 0;
    for (const table of document.querySelectorAll("table.claims")) {
      let here = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = !wanted.has(row.dataset.verdict);
        here += !row.hidden;
      }
      table.hidden = !here;
      shown += here;
    }
    at("chosen").textContent = shown + (shown === 1 ? " claim shown" : " claims shown");
  });
  window.addEventListener("hashchange", () => {  // a link to a claim shows it, whatever is chosen
    const row = at(location.hash.slice(1));
    if (row && row.hidden) buttons.filter(b => b.getAttribute("aria-pressed") !== "true").forEach(b => b.click());
    if (row) row.scrollIntoView();
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));

  // --- all rows
  const data = JSON.parse(at("data").textContent);
  const [TASK, DATASET, METHOD, SETTINGS, SEED, ORIGIN, STATUS] = [0, 1, 2, 3, 4, 5, 6];
  const cell = row => data.cells[row[0]], metric = row => data.metrics[row[1]];
  const columns = [
    ["Task", row => cell(row)[TASK]], ["Data set", row => cell(row)[DATASET]], ["Method", row => cell(row)[METHOD]],
    ["Metric", row => metric(row)[0]], ["Value", row => row[2], 1], ["Std. error", row => row[3], 1], ["n", row => row[4], 1],
    ["Unit", row => metric(row)[1]], ["Seed", row => cell(row)[SEED], 1], ["Whose", row => cell(row)[ORIGIN]],
    ["Settings", row => cell(row)[SETTINGS]], ["Status or place", row => cell(row)[STATUS]],
  ];
  const texts = list => list.map(one => one.join(" ").toLowerCase());
  const cellTexts = texts(data.cells), metricTexts = texts(data.metrics);
  const all = data.rows.map((_, place) => place);
  let order = all, found = all, page = 0, sorted = null, down = false;

  const option = (select, values) => [...new Set(values)].sort().forEach(value => { if (value) make("option", value, at(select)).value = value; });
  option("task", data.cells.map(one => one[TASK]));
  option("metric", data.metrics.map(one => one[0]));

  function filter() {
    const words = at("words").value.toLowerCase().split(/\s+/).filter(word => word && word !== "-").map(word => {
      const not = word.startsWith("-") && isNaN(word), bare = not ? word.slice(1) : word;
      return [not, cellTexts.map(text => text.includes(bare)), metricTexts.map(text => text.includes(bare))];
    });
    const [task, name, whose] = ["task", "metric", "whose"].map(id => at(id).value);
    found = order.filter(place => {
      const [c, m] = data.rows[place], one = data.cells[c];
      return (!task || one[TASK] === task) && (!name || data.metrics[m][0] === name)
        && (!whose || one[ORIGIN].startsWith(whose)) && words.every(([not, inCell, inMetric]) => not !== (inCell[c] || inMetric[m]));
    });
    page = 0;
    draw();
  }

  const collator = new Intl.Collator("en", { numeric: true });
  function sort(column) {
    [sorted, down] = [column, sorted === column && !down];
    const [, value, numeric] = columns[column], sign = down ? -1 : 1;
    const values = data.rows.map(value);
    order = all.slice().sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === y) return a - b;
      if (x === null || x === "") return 1;  // what is not there comes last, either way
      if (y === null || y === "") return -1;
      return sign * (numeric ? x - y : collator.compare(x, y)) || a - b;
    });
    heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
    filter();
  }

  const heads = columns.map(([name, , numeric], place) => {
    const head = make("th", undefined, at("all").tHead.rows[0] || at("all").tHead.insertRow());
    head.scope = "col";
    head.className = numeric ? "right" : "";
    head.setAttribute("aria-sort", "none");
    make("button", name, head).type = "button";
    head.firstChild.addEventListener("click", () => sort(place));
    return head;
  });

  function draw() {
    const body = document.createElement("tbody"), pages = Math.max(1, Math.ceil(found.length / PAGE));
    for (const place of found.slice(page * PAGE, (page + 1) * PAGE)) {
      const line = body.insertRow();
      for (const [, value, numeric] of columns) {
        const told = value(data.rows[place]), box = line.insertCell();
        box.textContent = told === null ? "" : numeric ? String(told).replace("-", "−") : told;
        if (numeric) box.className = "right";
      }
    }
    at("all").tBodies[0].replaceWith(body);
    at("count").textContent = found.length.toLocaleString("en") + " of " + all.length.toLocaleString("en") + " rows.";
    at("where").textContent = "Page " + (page + 1) + " of " + pages;
    at("before").disabled = page === 0;
    at("after").disabled = page >= pages - 1;
  }

  at("words").addEventListener("input", filter);
  for (const id of ["task", "metric", "whose"]) at(id).addEventListener("change", filter);
  at("before").addEventListener("click", () => { page -= 1; draw(); });
  at("after").addEventListener("click", () => { page += 1; draw(); });
  at("browse").hidden = false;
  draw();
})();
