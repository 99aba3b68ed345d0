// The interactive chart and table. All state is in `view`, which the URL fragment mirrors.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("choices");
const table = document.getElementById("explorer");
const detail = document.getElementById("detail");
const chart = document.getElementById("chart");
const BOTH = "both"; // in place of a metric: accuracy and confidence
const FIELDS = ["model", "sft", "task", "scoring", "calibrator", "metric", "level", "filter"];
const view = { sort: "", lang: "" }; // lang: codes of the chosen languages, with spaces between
const chosen = () => view.lang.split(" ").filter(Boolean);
let anchor = ""; // the language that Shift extends from
let unknown = []; // what the address asks for and the page does not have

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const facetOf = () => data.facets.find((each) => each.model === view.model && each.sft === view.sft);
// No calibrator changes accuracy, which is there once.
const key = (metric) => [view.task, ...view.scoring.split(" "), metric === "accuracy" ? "none" : view.calibrator, metric].join("|");
const DISTANCE = 10; // millionths, of the distances to the ends of intervals
// The base model's numbers are in the first facet of its model.
const prepend = (rows, from) => rows.forEach((row, place) => row.unshift(from ? from[place][0] : null));
for (const { name, base } of data.facets.filter((each) => each.base)) {
  for (const grids of Object.values(data.values))
    for (const part of Object.keys(grids[name] || {})) prepend(grids[name][part], grids[base] && grids[base][part]);
  for (const grids of Object.values(data.bins)) prepend(grids[name], grids[base]);
}
// Both ends of an interval in millionths; null where there is none.
const endsOf = (numbers, place, at) => !numbers.below || numbers.below[place][at] === null ? null :
  [numbers.value[place][at] - DISTANCE * numbers.below[place][at], numbers.value[place][at] + DISTANCE * numbers.above[place][at]];
const inPoints = (metric) => ["%", "pp"].includes(data.metrics[metric][1]);
const perUnit = (metric) => inPoints(metric) ? 1e4 : 1e6; // millionths in 1 of what the page shows
const unique = (values) => [...new Set(values)];
const minus = (text) => text.replace("-", "−");
// Numbers are whole millionths; halves are rounded away from 0, as polycal.reporting.spelling does.
const spell = (whole, metric, signed) => {
  if (whole === null || whole === undefined) return "–";
  const points = inPoints(metric);
  const digits = Math.sign(whole) * Math.round(Math.abs(whole) / 1000);
  const text = (digits / (points ? 10 : 1000)).toFixed(points ? 1 : 3);
  if (digits === 0) return text.replace("-", "");
  return (signed || data.metrics[metric][1] === "pp") && whole > 0 ? "+" + text : minus(text);
};

// The options of each choice depend on the choices before it.
function fill() {
  const readings = Object.keys(data.values).map((key) => key.split("|"));
  const options = {
    model: () => unique(data.facets.map((each) => each.model)),
    sft: () => data.facets.filter((each) => each.model === view.model).map((each) => each.sft),
    task: () => Object.keys(data.tasks).filter((task) => Object.entries(data.values).some(([key, of]) => key.startsWith(task + "|") && facetOf().name in of)),
    scoring: () => data.scorings.filter((scoring) => readings.some((of) => of[0] === view.task && scoring === of[1] + " " + of[2])),
    calibrator: () => unique(readings.filter((of) => of[0] === view.task && view.scoring === of[1] + " " + of[2]).map((of) => of[3])).sort((a, b) => (b === "none") - (a === "none")),
    metric: () => [BOTH, ...Object.keys(data.metrics).filter((each) => key(each) in data.values)],
  };
  const words = {
    scoring: (value) => value.replace(" ", " (") + ")",
    calibrator: (value) => data.calibrators[value],
    metric: (value) => value === BOTH ? "accuracy and confidence" : data.metrics[value][0],
  };
  unknown = [];
  for (const [name, list] of Object.entries(options)) {
    const choices = list();
    if (view[name] && !choices.includes(view[name])) unknown.push(name + " " + view[name]);
    if (!choices.includes(view[name])) view[name] = choices[0];
    form[name].replaceChildren(...choices.map((value) => {
      return make("option", { value }, (words[name] ?? String)(value));
    }));
    form[name].value = view[name];
  }
  const levels = [...form.level.options].map((each) => each.value);
  if (view.level && !levels.includes(view.level)) unknown.push("resources " + view.level);
  if (!levels.includes(view.level)) view.level = "all";
  form.level.value = view.level;
  form.filter.value = view.filter ||= "";
  const known = data.tasks[view.task], wanted = chosen();
  unknown.push(...wanted.filter((code) => !known.includes(code)).map((code) => "language " + code));
  view.lang = known.filter((code) => wanted.includes(code)).join(" ");
}

const place = () => facetOf().name + ", " + view.task + ", " + form.scoring.selectedOptions[0].text +
  (view.calibrator === "none" ? "" : ", with " + data.calibrators[view.calibrator]);
// The metric of the table; beside accuracy and confidence it is their gap.
const tabled = () => view.metric === BOTH ? "gap" : view.metric;

function columns() {
  const labels = facetOf().conditions;
  const list = labels.map((name, index) => ({ name, of: (row) => row.values[index], index }));
  const apart = facetOf().apart.includes(view.scoring.split(" ")[1]);
  for (const [after, before] of apart ? [] : facetOf().compared)
    list.push({ name: "change: " + labels[after] + " − " + labels[before], change: true, after, of: (row) =>
      row.values[after] === null || row.values[before] === null ? null : row.values[after] - row.values[before] });
  return list;
}

function rows() {
  const numbers = data.values[key(tabled())][facetOf().name];
  if (!numbers) return [];
  const wanted = view.filter.toLowerCase();
  const all = data.tasks[view.task].map((code, index) => ({
    code, order: index, ...data.languages[code], values: numbers.value[index],
    ends: (at) => endsOf(numbers, index, at),
  }));
  return all.filter((row) => (view.level === "all" || row.level === view.level) &&
    (row.name.toLowerCase().includes(wanted) || row.code.toLowerCase().startsWith(wanted)));
}

let drawnWidth; // of the chart
function draw() {
  drawnWidth = chart.clientWidth;
  const shown = columns();
  const lead = [
    { name: "language", of: (row) => row.name, left: true },
    { name: "resources", of: (row) => row.order, left: true },
    { name: "class", of: (row) => row.joshi, left: true },
  ];
  const heads = [...lead, ...shown];
  const [, column, direction] = view.sort.match(/^(\d+)(up|down)$/) || [];
  const list = rows();
  if (column && heads[column]) {
    const value = heads[column].of, up = direction === "up" ? 1 : -1;
    list.sort((a, b) => (value(a) === null) - (value(b) === null) ||
      up * (typeof value(a) === "string" ? value(a).localeCompare(value(b)) : value(a) - value(b)));
  }
  const metric = tabled(), [title, unit] = data.metrics[metric];
  const sure = (data.sure[key(metric)] || {})[facetOf().name];
  table.caption.textContent = title + (unit ? ", " + unit : "") + ": " + place() +
    (sure ? "; a change is bold where its simultaneous band over all languages leaves out 0" : "");
  table.tHead.replaceChildren(make("tr", {}, ...heads.map((head, index) => {
    const sorted = column && Number(column) === index ? (direction === "up" ? "ascending" : "descending") : "none";
    const button = make("button", { type: "button", "data-column": index }, head.name);
    return make("th", { scope: "col", "aria-sort": sorted, class: head.left ? "left" : "" }, button);
  })));
  table.tBodies[0].replaceChildren(...list.map((row) => {
    const pressed = chosen().includes(row.code);
    const button = make("button", { type: "button", "data-lang": row.code, "aria-pressed": pressed }, row.name + " (" + row.code + ")");
    const cells = shown.map((each) => {
      const text = spell(each.of(row), metric, each.change);
      const isSure = each.change && sure && sure[row.order * facetOf().conditions.length + each.after] === "1";
      const cell = make("td", {}, isSure ? make("strong", {}, text) : text);
      const ends = each.change ? null : row.ends(each.index);
      if (ends) {
        cell.append(make("small", {}, "[" + ends.map((end) => spell(end, metric)).join(", ") + "]"));
      }
      return cell;
    });
    return make("tr", {}, make("th", { scope: "row" }, button), make("td", { class: "left" }, row.level), make("td", { class: "left" }, row.joshi), ...cells);
  }));
  const all = data.tasks[view.task], n = chosen().length, marked = n > 1 ? ", " + n + " chosen" : "";
  const said = unknown.length ? ". The address asks for what this page does not have: " + unknown.join(", ") : "";
  document.getElementById("count").textContent = list.length + " of " + all.length + (all.length === 1 ? " language" : " languages") + marked + said;
  chart.replaceChildren(...(list.length ? [make("p", { class: "caption" }, make("strong", {}, heading()), ": " + place()), plot(list, !column), make("figcaption", { class: "quiet" }, reading())] : []));
  describe();
}

const heading = () => (view.metric === BOTH ? "Accuracy and mean confidence" : data.metrics[view.metric][0]) + " in every language";

const hasRoom = () => chart.clientWidth > 640; // for languages from left to right
function reading() {
  if (view.metric === BOTH) return "A circle is accuracy, a diamond mean confidence, in %; the bar between them is the gap, orange where confidence is higher. Every condition has a " + (hasRoom() ? "row." : "column.");
  const intervals = data.values[key(view.metric)][facetOf().name].below ? " Thin lines are intervals for other questions." : "";
  return "One mark per condition." + intervals;
}

// What the chart draws: one row per language and condition, in units of the page.
function marks(list) {
  const facet = facetOf(), names = view.metric === BOTH ? ["accuracy", "confidence"] : [view.metric];
  const scale = perUnit(names[0]);
  return list.flatMap((row) => facet.conditions.map((condition, at) => {
    const place = data.tasks[view.task].indexOf(row.code);
    const wholes = names.map((name) => data.values[key(name)][facet.name].value[place][at]);
    const [first, last] = wholes.map((whole) => whole === null ? NaN : whole / scale);
    const spelt = names.map((name, index) => name + " " + spell(wholes[index], name)).join(", ");
    const [low, high] = (names.length === 1 && row.ends(at) || [NaN, NaN]).map((whole) => whole / scale);
    return { code: row.code, condition, first, last, low, high, words: row.name + ", " + condition + ": " + spelt };
  }));
}

function plot(list, byResources) {
  const facet = facetOf(), both = view.metric === BOTH, points = marks(list);
  const isWide = hasRoom();
  // Languages run along the long side: down on a phone.
  const along = isWide ? "x" : "y", across = isWide ? "y" : "x";
  // An empty place between the levels, whose names stand over the first language.
  const domain = list.flatMap((row, index) => byResources && index && row.level !== list[index - 1].level ? [" " + row.level, row.code] : [row.code]);
  const heads = byResources ? list.filter((row, index) => !index || row.level !== list[index - 1].level) : [];
  const at = (rest) => ({ [along]: "code", ...(both ? { [isWide ? "fy" : "fx"]: "condition" } : {}), ...rest });
  const ink = "currentColor", unit = both ? "%" : data.metrics[view.metric][1];
  const rule = isWide ? Plot.ruleX : Plot.ruleY;
  const span = (low, high) => ({ [across + "1"]: low, [across + "2"]: high });
  const own = both ? [
    rule(points, at({ ...span("first", "last"), stroke: (each) => each.last > each.first ? data.colours.over : data.colours.under, strokeWidth: 5 })),
    Plot.dot(points, at({ [across]: "first", r: 3, fill: "var(--back)", stroke: ink })),
    Plot.dot(points, at({ [across]: "last", r: 3, symbol: "diamond", fill: ink })),
  ] : [
    rule(points.filter((each) => each.low === each.low), at({ ...span("low", "high"), stroke: "condition", strokeOpacity: 0.5 })),
    Plot.dot(points, at({ [across]: "first", r: 3.2, fill: "condition" })),
  ];
  const count = domain.length;
  const node = Plot.plot({
    width: chart.clientWidth,
    height: isWide ? (both ? 60 + 130 * facet.conditions.length : 330) : 60 + 15 * count,
    marginLeft: isWide ? 40 : 46, marginRight: isWide && both ? 110 : 10, marginBottom: 34, marginTop: 26,
    style: { background: "none", fontSize: "11px" },
    [along]: { domain, label: null, tickFormat: (code) => code.startsWith(" ") ? "" : code, tickSize: 0, tickRotate: isWide && chart.clientWidth < 22 * count ? -90 : 0 },
    [across]: { label: unit || null, grid: true, nice: true },
    ...(both ? { [isWide ? "fy" : "fx"]: { domain: facet.conditions, label: null, padding: 0.12, tickFormat: (name) => name.replace(", smoothing", ",\nsmoothing") } } : {}),
    color: { domain: facet.conditions, range: data.colours.conditions, legend: false },
    marks: [
      rule(points.filter((each) => chosen().includes(each.code)), at({ stroke: "var(--line)", strokeWidth: 14, strokeOpacity: 0.6 })),
      unit === "pp" ? (isWide ? Plot.ruleY : Plot.ruleX)([0], { strokeOpacity: 0.5 }) : null,
      ...own,
      heads.length && isWide ? Plot.text(heads, { x: "code", ...(both ? { fy: () => facet.conditions[0] } : {}), frameAnchor: "top-left", textAnchor: "start", dy: -18, text: (row) => row.level + " resources", fill: ink, fontWeight: 600 }) : null,
      Plot.tip(points, (isWide ? Plot.pointerX : Plot.pointerY)(at({ [across]: "first", title: "words", pointerSize: 0 }))),
    ],
  });
  picture(node, heading() + ": " + place());
  // A range that is dragged over chooses its languages; fingers scroll.
  const spot = node.scale(along).apply;
  d3.select(node).append("g").call((isWide ? d3.brushX() : d3.brushY()).touchable(false).on("end", ({ selection }) => {
    if (!selection) return;
    choose(list.map((row) => row.code).filter((code) => selection[0] <= spot(code) && spot(code) <= selection[1]));
    if (view.lang) table.parentElement.scrollTop = buttonOf(chosen()[0]).closest("tr").offsetTop - table.tHead.offsetHeight;
  }));
  node.addEventListener("click", (event) => node.value && pick(node.value.code, event));
  if (both) return node;
  const keys = facet.conditions.map((name, index) => make("span", { class: "key", style: "--ink: " + data.colours.conditions[index] }, name));
  return make("div", {}, make("p", { class: "keys" }, ...keys), node);
}

// A chart is one picture to a screen reader; tables have its numbers.
function picture(node, words) {
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", words);
  for (const group of node.querySelectorAll("g[aria-label]")) {
    group.dataset.mark = group.getAttribute("aria-label");
    for (const name of group.getAttributeNames()) if (name.startsWith("aria-")) group.removeAttribute(name);
  }
  return node;
}

const buttonOf = (code) => table.querySelector('[data-lang="' + code + '"]') || form.filter;
function choose(codes) {
  view.lang = codes.join(" ");
  update("pushState");
}
// One language leads to its diagrams; Shift takes all up to it, and Ctrl takes or drops it.
function pick(code, { shiftKey, ctrlKey, metaKey }) {
  const shown = [...table.querySelectorAll("[data-lang]")].map((each) => each.dataset.lang);
  if (shiftKey && shown.includes(anchor)) {
    const [first, last] = [shown.indexOf(anchor), shown.indexOf(code)].sort((a, b) => a - b);
    choose(shown.slice(first, last + 1));
    return buttonOf(code).focus();
  }
  anchor = code;
  if (shiftKey || ctrlKey || metaKey) {
    choose(chosen().includes(code) ? chosen().filter((each) => each !== code) : [...chosen(), code]);
    return buttonOf(code).focus();
  }
  choose([code]);
  detail.focus({ preventScroll: true });
  detail.scrollIntoView({ block: "start" });
}
function leave() {
  const [code] = chosen();
  choose([]);
  buttonOf(code).focus();
}

// Wilson's 95 % interval of a share.
function wilson(share, n) {
  const square = 1.959964 ** 2 / n;
  const half = Math.sqrt(share * (1 - share) * square + square ** 2 / 4);
  return [(share + square / 2 - half) / (1 + square), (share + square / 2 + half) / (1 + square)];
}

// The range of 95 % of a calibrated bin's accuracies; normal approximation.
function consistent(confidence, n) {
  const half = 1.959964 * Math.sqrt(confidence * (1 - confidence) / n);
  return [Math.max(0, confidence - half), Math.min(1, confidence + half)];
}

// A reliability diagram, with the share of the questions in each bin below 0.
function diagram(name, bins, words, isOne) {
  const blue = "var(--link)", width = 100 / data.n_bins, most = d3.max(bins, (each) => each.n);
  const ends = (which, index) => (each) => 100 * which(each[which === wilson ? "accuracy" : "confidence"] / 100, each.n)[index];
  const told = (each) => each.n + " questions\nconfidence " + each.confidence.toFixed(1) + " %\naccuracy " + each.accuracy.toFixed(1) + " %" +
    (isOne ? " [" + [0, 1].map((index) => ends(wilson, index)(each).toFixed(1)).join(", ") + "]" : "");
  const node = Plot.plot({
    width: 222, height: 240, marginLeft: 42, marginTop: 8, marginRight: 12, marginBottom: 32, style: { background: "none" },
    x: { domain: [0, 100], ticks: 3, label: "confidence (%)", labelAnchor: "center", labelArrow: "none" },
    y: { domain: [-30, 100], ticks: [0, 50, 100], grid: true, label: "accuracy (%); below 0: share", labelAnchor: "center", labelArrow: "none" },
    r: { domain: [0, d3.sum(bins, (each) => each.n)], range: [1.5, 5.5] },
    marks: [
      isOne ? Plot.areaY(bins, { x: "confidence", y1: ends(consistent, 0), y2: ends(consistent, 1), fillOpacity: 0.12 }) : null,
      Plot.link([0], { x1: 0, y1: 0, x2: 100, y2: 100, strokeOpacity: 0.3 }),
      Plot.rect(bins, { x1: (each) => width * each.bin, x2: (each) => width * (each.bin + 1), y1: -30, y2: (each) => 27 * each.n / most - 30, fillOpacity: 0.4, inset: 0.5 }),
      isOne ? Plot.ruleX(bins, { x: "confidence", y1: ends(wilson, 0), y2: ends(wilson, 1), stroke: blue }) : null,
      Plot.dot(bins, { x: "confidence", y: "accuracy", r: "n", fill: blue, title: told, tip: true }),
    ],
  });
  return make("figure", {}, make("figcaption", {}, make("strong", {}, name), make("br"), words), picture(node, name + ": " + words));
}

// The bins of one condition, in %, pooled over the places of languages.
function pool(grid, places, at) {
  const bins = places.flatMap((place) => d3.groups(grid[place][at] || [], (_, index) => Math.floor(index / 4)).map(([, four]) => four));
  return d3.groups(bins, ([bin]) => bin).map(([bin, own]) => {
    const n = d3.sum(own, (each) => each[1]), mean = (index) => d3.sum(own, (each) => each[1] * each[index]) / n / 10;
    return { bin, n, confidence: mean(2), accuracy: mean(3) };
  }).sort((a, b) => a.bin - b.bin);
}

function describe() {
  const codes = chosen(), isOne = codes.length === 1;
  if (!codes.length) return detail.replaceChildren();
  const facet = facetOf(), places = codes.map((code) => data.tasks[view.task].indexOf(code));
  const number = (metric, condition) => {
    const numbers = data.values[[view.task, ...view.scoring.split(" "), "none", metric].join("|")];
    return data.metrics[metric][0].split(" (")[0] + " " + spell(d3.mean(places, (each) => numbers[facet.name].value[each][condition]), metric);
  };
  const grid = (data.bins[[view.task, ...view.scoring.split(" ")].join("|")] || {})[facet.name];
  const diagrams = facet.conditions.map((name, condition) => {
    const bins = grid ? pool(grid, places, condition) : [];
    const words = ["accuracy", "confidence", "gap", "ece"].map((metric) => number(metric, condition)).join(", ");
    return bins.length ? diagram(name, bins, words, isOne) : "";
  });
  const close = make("button", { type: "button", id: "close" }, "close");
  detail.replaceChildren(
    make("h3", {}, (isOne ? data.languages[view.lang].name + " (" + view.lang + ")" : codes.length + " languages (" + codes.join(", ") + ")") + ", " + view.task),
    close,
    make("p", { class: "quiet" }, "Accuracy over confidence per bin, before any calibrator; columns are the share of the questions. " +
      (isOne ? "Bars are Wilson's 95 % intervals, and the grey area holds 95 % of a calibrated model's bins." :
        "The numbers are means over these languages; their bins are pooled, without intervals, because translations of one question are not independent.")),
    make("div", { class: "diagrams" }, ...diagrams),
    ...(isOne ? questions(facet) : []));
}

function questions(facet) {
  const list = ((data.questions || {})[view.task + "|" + facet.name] || {})[view.lang];
  if (!list) return [];
  const labels = facet.conditions, scoring = list[0].scoring.replace(" ", " (") + ")";
  const blocks = list.map((each) => make("article", {},
    make("p", { dir: "auto", lang: view.lang }, each.question),
    make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "left" }, "option"), ...labels.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...each.options.map((option, place) => make("tr", place === each.gold ? { class: "gold" } : {},
        make("th", { scope: "row", dir: "auto", lang: view.lang }, (place === each.gold ? "✓ " : "") + option),
        ...labels.map((_, at) => make("td", {}, each.probabilities[at] ? (each.probabilities[at][place] / 10).toFixed(1) : "–"))))))));
  return [make("h4", {}, "Questions whose confidence changed most"),
    make("p", { class: "quiet" }, "The largest changes of confidence from " + labels[0] + " to " + labels[1] + ", which are not typical. Probabilities in %, scored by " + scoring + ", before any calibrator; ✓ is the right option."), ...blocks];
}

// A chosen language is a step that the browser's Back undoes.
function remember(how = "replaceState") {
  const fragment = new URLSearchParams(Object.entries(view).filter(([, value]) => value));
  history[how](null, "", "#view?" + fragment);
}
function restore() {
  if (!location.hash.startsWith("#view?")) return false;
  for (const name of [...FIELDS, "sort", "lang"]) view[name] = "";
  for (const [name, value] of new URLSearchParams(location.hash.slice(6))) if (name in view) view[name] = value;
  return true;
}
function redraw() { fill(); draw(); }
function update(how) {
  fill();
  unknown = []; // a choice asks for nothing that is not there
  draw();
  remember(how);
}
function show() {
  if (!restore()) return false;
  redraw();
  (view.lang ? detail : document.getElementById("explore")).scrollIntoView({ block: "start" });
  return true;
}

function download() {
  const facet = facetOf(), names = view.metric === BOTH ? ["accuracy", "confidence"] : [view.metric];
  // An apostrophe before what a spreadsheet would compute; numbers are not quoted.
  const quote = (text) => '"' + text.replace(/^[=+\-@\t\r\n]/, "'$&").replaceAll('"', '""') + '"';
  const columns = names.flatMap((name) => {
    const numbers = data.values[key(name)][facet.name];
    const spelt = (whole) => whole === null ? "" : whole / perUnit(name);
    const end = (place, at, side) => (endsOf(numbers, place, at) || [null, null])[side];
    return facet.conditions.flatMap((condition, at) => [
      [name + ", " + condition, (place) => spelt(numbers.value[place][at])],
      ...(numbers.below ? [["low", (place) => spelt(end(place, at, 0))], ["high", (place) => spelt(end(place, at, 1))]] : []),
    ]);
  });
  const lines = [["language", "code", "resources", "class", ...columns.map(([name]) => name)].map(quote).join(",")];
  for (const row of rows())
    lines.push([quote(row.name), row.code, row.level, row.joshi, ...columns.map(([, of]) => of(row.order))].join(","));
  const named = [view.model, view.sft, view.task, view.scoring, view.metric].join("-").replace(/[^\w.]+/g, "-");
  const link = make("a", { download: named + ".csv" });
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  link.click();
  URL.revokeObjectURL(link.href);
}

form.addEventListener("input", () => {
  for (const name of FIELDS) view[name] = form[name].value;
  update();
});
form.addEventListener("submit", (event) => { // Enter leads to the language that was searched
  event.preventDefault();
  const [found] = rows();
  if (found) pick(found.code, event);
});
table.tHead.addEventListener("click", (event) => {
  const column = event.target.dataset.column;
  if (column === undefined) return;
  const first = Number(column) < 3 ? "up" : "down", second = first === "up" ? "down" : "up";
  view.sort = view.sort === column + first ? column + second : column + first;
  update();
  table.tHead.querySelector('[data-column="' + column + '"]').focus();
});
table.tBodies[0].addEventListener("click", (event) => {
  if (event.target.dataset.lang) pick(event.target.dataset.lang, event);
});
detail.addEventListener("click", (event) => { if (event.target.id === "close") leave(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") { tip.hidden = true; if (view.lang) leave(); } });
document.getElementById("download").addEventListener("click", download);
for (const name of ["hashchange", "popstate"]) window.addEventListener(name, () => {
  if (show() || location.hash || !view.lang) return;
  view.lang = ""; // back where no language was chosen
  redraw();
});
new ResizeObserver(() => {
  if (Math.abs(chart.clientWidth - drawnWidth) > 8) draw();
}).observe(chart);

// What a chip or a mark of a figure stands for, where it is pointed at or has the focus.
const tip = make("div", { id: "tip", hidden: "", "aria-hidden": "true" });
document.body.append(tip);
const NEAR = 24; // pixels from the pointer to a mark
const chipOf = (event) => event.target.closest && event.target.closest(".verdicts .chip");
function explain(event) {
  const chip = chipOf(event), mark = chip || nearest(event);
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = chip ? chip.closest("tr").cells[0].textContent + "\n" + chip.getAttribute("aria-label") : mark.dataset.title;
  const box = mark.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(box.left, innerWidth - tip.offsetWidth - 8)) + "px";
  const below = box.bottom + 6;
  tip.style.top = (below + tip.offsetHeight < innerHeight ? below : box.top - tip.offsetHeight - 6) + "px";
}
function nearest(event) {
  const svg = event.target.closest && event.target.closest("figure .scroll svg");
  if (!svg || event.clientX === undefined) return null;
  for (const title of svg.querySelectorAll("use > title")) { // else the browser shows them, too
    title.parentNode.dataset.title = title.textContent;
    title.remove();
  }
  const distance = (mark) => {
    const box = mark.getBoundingClientRect();
    return Math.hypot(box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY);
  };
  const mark = d3.least(svg.querySelectorAll("[data-title]"), distance);
  return mark && distance(mark) <= NEAR ? mark : null;
}
// Not the mouse's events: not every browser makes them of a finger on a picture.
for (const name of ["pointerover", "pointermove", "focusin", "click"]) document.addEventListener(name, explain);
for (const name of ["mouseleave", "pointercancel"]) // a finger that scrolls
  document.documentElement.addEventListener(name, () => { tip.hidden = true; });

// A matrix of claims is one tab stop; arrow keys lead from chip to chip (ARIA's grid pattern).
document.addEventListener("keydown", (event) => {
  const chip = chipOf(event);
  if (!chip) return;
  const rows = [...chip.closest("tbody").rows].map((row) => [...row.querySelectorAll(".chip")]);
  const y = rows.findIndex((row) => row.includes(chip)), x = rows[y].indexOf(chip);
  const column = chip.closest("td").cellIndex;
  const vertical = (list) => list.flat().find((each) => each.closest("td").cellIndex === column);
  const wanted = {
    ArrowLeft: () => rows[y][x - 1], ArrowRight: () => rows[y][x + 1], Home: () => rows[y][0], End: () => rows[y].at(-1),
    ArrowUp: () => vertical(rows.slice(0, y).reverse()), ArrowDown: () => vertical(rows.slice(y + 1)),
  }[event.key];
  if (!wanted) return;
  event.preventDefault();
  const next = wanted();
  if (next) next.focus();
});
document.addEventListener("focusin", (event) => {
  const chip = chipOf(event);
  if (!chip) return;
  for (const each of chip.closest("tbody").querySelectorAll(".chip")) each.tabIndex = each === chip ? 0 : -1;
});

// What opens on demand comes from its template.
function unpack(details) {
  const content = details.querySelector(":scope > template");
  if (content) content.replaceWith(content.content);
}
document.addEventListener("toggle", (event) => unpack(event.target), true);

// Paper cannot be clicked: for a print, what is closed opens, and the chart gets its width.
const PAPER = "700px"; // between the margins of A4
const opened = [];
function setWidth(width) {
  chart.style.width = width;
  draw();
}
addEventListener("beforeprint", () => {
  const isShut = (each) => !each.dataset.facet || each.dataset.facet === facetOf().name;
  const list = () => [...document.querySelectorAll("details:not([open], .aside)")].filter(isShut);
  for (let shut = list(); shut.length; shut = list()) { // what opens holds more that opens
    for (const each of shut) { each.open = true; unpack(each); }
    opened.push(...shut);
  }
  setWidth(PAPER);
});
addEventListener("afterprint", () => {
  for (const each of opened.splice(0)) each.open = false;
  setWidth("");
});

// The page of an unfinished study is written again; its reader can keep it as it is.
const told = document.querySelector(".progress");
if (told) {
  const box = make("input", { type: "checkbox", checked: "" });
  told.append(make("label", {}, box, " read this page again once a minute"));
  setInterval(() => box.checked && location.reload(), 60000);
}

for (const name of FIELDS) view[name] ||= "";
form.hidden = false;
if (!show()) redraw();
