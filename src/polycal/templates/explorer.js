// The interactive table. All state is in `view`, which the URL fragment mirrors.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("choices");
const table = document.getElementById("explorer");
const detail = document.getElementById("detail");
const FIELDS = ["model", "sft", "task", "scoring", "calibrator", "metric", "level", "filter"];
const view = { sort: "", lang: "" };

const make = (tag, attributes = {}, ...children) => {
  const svg = ["svg", "line", "rect", "circle", "text", "path", "polygon", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const facetOf = () => data.facets.find((each) => each.model === view.model && each.sft === view.sft);
const key = (metric) => [view.task, ...view.scoring.split(" "), view.calibrator, metric].join("|");
const unique = (values) => [...new Set(values)];
const minus = (text) => text.replace("-", "−");
const spell = (whole, metric, signed) => {
  if (whole === null || whole === undefined) return "–";
  const unit = data.metrics[metric][1];
  const points = unit === "%" || unit === "pp";
  const text = points ? (whole / 100).toFixed(1) : (whole / 10000).toFixed(3);
  if (Number(text) === 0) return text.replace("-", "");
  return (signed || unit === "pp") && whole > 0 ? "+" + text : minus(text);
};

// The options of each choice depend on the choices before it.
function fill() {
  const readings = Object.keys(data.values).map((key) => key.split("|"));
  const options = {
    model: () => unique(data.facets.map((each) => each.model)),
    sft: () => data.facets.filter((each) => each.model === view.model).map((each) => each.sft),
    task: () => Object.keys(data.tasks),
    scoring: () => data.scorings.filter((scoring) => readings.some((of) => of[0] === view.task && scoring === of[1] + " " + of[2])),
    calibrator: () => unique(readings.filter((of) => of[0] === view.task && view.scoring === of[1] + " " + of[2]).map((of) => of[3])).sort((a, b) => (b === "none") - (a === "none")),
    metric: () => Object.keys(data.metrics).filter((each) => key(each) in data.values),
  };
  for (const [name, list] of Object.entries(options)) {
    const choices = list();
    if (!choices.includes(view[name])) view[name] = choices[0];
    form[name].replaceChildren(...choices.map((value) => {
      const text = name === "metric" ? data.metrics[value][0] : name === "scoring" ? value.replace(" ", " (") + ")" : value;
      return make("option", { value }, text);
    }));
    form[name].value = view[name];
  }
  if (!["high", "mid", "low"].includes(view.level)) view.level = "all";
  form.level.value = view.level;
  form.filter.value = view.filter ||= "";
}

function columns() {
  const labels = facetOf().conditions;
  const list = labels.map((name, index) => ({ name, of: (row) => row.values[index], index }));
  const apart = facetOf().apart.includes(view.scoring.split(" ")[1]);
  for (const [after, before] of apart ? [] : facetOf().compared)
    list.push({ name: "change: " + labels[after] + " − " + labels[before], change: true, of: (row) =>
      row.values[after] === null || row.values[before] === null ? null : row.values[after] - row.values[before] });
  return list;
}

function rows() {
  const numbers = data.values[key(view.metric)][facetOf().name];
  if (!numbers) return [];
  const wanted = view.filter.toLowerCase();
  const all = data.tasks[view.task].map((code, index) => ({
    code, order: index, ...data.languages[code], values: numbers.value[index],
    below: numbers.below && numbers.below[index], above: numbers.above && numbers.above[index],
  }));
  return all.filter((row) => (view.level === "all" || row.level === view.level) &&
    (row.name.toLowerCase().includes(wanted) || row.code.toLowerCase().startsWith(wanted)));
}

function draw() {
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
  const [title, unit] = data.metrics[view.metric];
  table.caption.textContent = title + (unit ? ", " + unit : "") + ": " + facetOf().name + ", " + view.task + ", " + form.scoring.selectedOptions[0].text;
  table.tHead.replaceChildren(make("tr", {}, ...heads.map((head, index) => {
    const sorted = column && Number(column) === index ? (direction === "up" ? "ascending" : "descending") : "none";
    const button = make("button", { type: "button", "data-column": index }, head.name);
    return make("th", { scope: "col", "aria-sort": sorted, class: head.left ? "left" : "" }, button);
  })));
  table.tBodies[0].replaceChildren(...list.map((row) => {
    const pressed = row.code === view.lang;
    const button = make("button", { type: "button", "data-lang": row.code, "aria-pressed": pressed }, row.name + " (" + row.code + ")");
    const cells = shown.map((each) => {
      const cell = make("td", {}, spell(each.of(row), view.metric, each.change));
      if (!each.change && row.below && row.below[each.index] !== null) {
        const ends = [each.of(row) - row.below[each.index], each.of(row) + row.above[each.index]];
        cell.append(make("small", {}, "[" + ends.map((end) => spell(end, view.metric)).join(", ") + "]"));
      }
      return cell;
    });
    return make("tr", {}, make("th", { scope: "row" }, button), make("td", { class: "left" }, row.level), make("td", { class: "left" }, row.joshi), ...cells);
  }));
  document.getElementById("count").textContent = list.length + " of " + data.tasks[view.task].length + " languages";
  describe();
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

function diagram(name, bins, words) {
  const svg = make("svg", { viewBox: "0 0 150 190", width: 200, role: "img", "aria-label": name + ": " + words });
  const x = (share) => 25 + 118 * share, y = (share) => 128 - 118 * share;
  const counts = bins.filter((_, index) => index % 4 === 1);
  const total = counts.reduce((sum, each) => sum + each), most = Math.max(...counts);
  const low = [], high = [];
  for (let at = 0; at < bins.length; at += 4) {
    const confidence = bins[at + 2] / 1000, ends = consistent(confidence, bins[at + 1]);
    low.push(x(confidence) + "," + y(ends[0]));
    high.unshift(x(confidence) + "," + y(ends[1]));
  }
  svg.append(make("polygon", { points: [...low, ...high].join(" "), class: "band" }));
  svg.append(make("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "faint" }));
  for (const share of [0, 0.5, 1]) {
    svg.append(make("line", { x1: x(0), x2: x(1), y1: y(share), y2: y(share), class: "faint" }));
    svg.append(make("text", { x: 21, y: y(share) + 3, "text-anchor": "end" }, 100 * share));
    svg.append(make("text", { x: x(share), y: 178, "text-anchor": "middle" }, 100 * share));
  }
  for (let at = 0; at < bins.length; at += 4) {
    const [bin, n, confidence, accuracy] = [bins[at], bins[at + 1], bins[at + 2] / 1000, bins[at + 3] / 1000];
    const [low, high] = wilson(accuracy, n);
    const height = 32 * n / most;
    const tooltip = make("title", {}, n + " questions, confidence " + (100 * confidence).toFixed(1) + " %, accuracy " + (100 * accuracy).toFixed(1) + " % [" + (100 * low).toFixed(1) + ", " + (100 * high).toFixed(1) + "]");
    svg.append(make("rect", { x: x(bin / data.n_bins) + 0.5, width: 118 / data.n_bins - 1, y: 167 - height, height, class: "share" }));
    svg.append(make("line", { x1: x(confidence), x2: x(confidence), y1: y(low), y2: y(high), class: "bar" }));
    svg.append(make("circle", { cx: x(confidence), cy: y(accuracy), r: 1.5 + 4 * Math.sqrt(n / total) }, tooltip));
  }
  svg.append(make("text", { x: 84, y: 188, "text-anchor": "middle" }, "confidence (%)"));
  return make("figure", {}, make("figcaption", {}, make("strong", {}, name), make("br"), words), svg);
}

function describe() {
  const index = data.tasks[view.task].indexOf(view.lang);
  if (index < 0) return detail.replaceChildren();
  const facet = facetOf();
  const number = (metric, condition) => {
    const numbers = data.values[[view.task, ...view.scoring.split(" "), "none", metric].join("|")];
    return data.metrics[metric][0].split(" (")[0] + " " + spell(numbers[facet.name].value[index][condition], metric);
  };
  const bins = data.bins[[view.task, ...view.scoring.split(" ")].join("|")];
  const diagrams = facet.conditions.map((name, condition) => bins && bins[facet.name][index][condition] ?
    diagram(name, bins[facet.name][index][condition], ["accuracy", "confidence", "gap", "ece"].map((metric) => number(metric, condition)).join(", ")) : "");
  const close = make("button", { type: "button", id: "close" }, "close");
  detail.replaceChildren(
    make("h3", {}, data.languages[view.lang].name + " (" + view.lang + "), " + view.task),
    close,
    make("p", { class: "quiet" }, "Accuracy over confidence per bin, before any calibrator. Bars are Wilson's 95 % intervals, the grey area holds 95 % of a calibrated model's bins, and grey columns are the share of the questions."),
    make("div", { class: "diagrams" }, ...diagrams),
    ...questions(facet));
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

function remember() {
  const fragment = new URLSearchParams(Object.entries(view).filter(([, value]) => value));
  history.replaceState(null, "", "#view?" + fragment);
}
function restore() {
  if (!location.hash.startsWith("#view?")) return false;
  for (const name of [...FIELDS, "sort", "lang"]) view[name] = "";
  for (const [name, value] of new URLSearchParams(location.hash.slice(6))) if (name in view) view[name] = value;
  return true;
}
function update() { fill(); draw(); remember(); }

form.addEventListener("input", () => {
  for (const name of FIELDS) view[name] = form[name].value;
  update();
});
form.addEventListener("submit", (event) => event.preventDefault());
table.tHead.addEventListener("click", (event) => {
  const column = event.target.dataset.column;
  if (column === undefined) return;
  const first = Number(column) < 3 ? "up" : "down", second = first === "up" ? "down" : "up";
  view.sort = view.sort === column + first ? column + second : column + first;
  update();
  table.tHead.querySelector('[data-column="' + column + '"]').focus();
});
table.tBodies[0].addEventListener("click", (event) => {
  if (!event.target.dataset.lang) return;
  view.lang = event.target.dataset.lang;
  update();
  detail.focus();
  detail.scrollIntoView({ block: "start" });
});
detail.addEventListener("click", (event) => {
  if (event.target.id !== "close") return;
  const code = view.lang;
  view.lang = "";
  update();
  (table.querySelector('[data-lang="' + code + '"]') || form.filter).focus();
});
window.addEventListener("hashchange", () => { if (restore()) { fill(); draw(); } });

for (const name of FIELDS) view[name] ||= "";
const linked = restore();
fill();
draw();
form.hidden = false;
if (linked) document.getElementById("explore").scrollIntoView();
