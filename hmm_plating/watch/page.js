"use strict";
// Draws what /run.json holds, and asks /status.json whether there is more. Text from the run only ever becomes textContent.
const PERIOD = 2000; // ms between two looks
const SVG = "http://www.w3.org/2000/svg";
const element = (id) => document.getElementById(id);
const SURFACE = ["thickness", "roughness", "solid_volume_fraction"];
const MARGIN = { left: 62, right: 10, top: 8, bottom: 24 };
let run = null, version = 0, failures = 0, announced = "";
const charts = new Map();

function make(kind, attributes = {}, parent = null, namespace = null) {
  const made = namespace ? document.createElementNS(namespace, kind) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value; else made.setAttribute(name, value);
  }
  if (parent) parent.append(made);
  return made;
}

function digits(value, precision = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("-", "−");
  return String(Number(value.toPrecision(precision))).replace("-", "−");
}

function span(seconds) {
  if (seconds < 90) return `${digits(seconds, 2)} s`;
  return seconds < 5400 ? `${digits(seconds / 60, 2)} min` : `${digits(seconds / 3600, 2)} h`;
}

function clock(longest) {
  if (longest <= 1800) return { unit: "s", scale: 1 };
  return longest <= 7200 ? { unit: "min", scale: 60 } : { unit: "h", scale: 3600 };
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) {
    found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  }
  return found;
}

// A series: {time, median, lower, upper, measured, offset}; arrays of one length, null where unknown.
function interval(columns, name, index = null) {
  const rows = columns[name];
  if (!rows) return {};
  const pick = (place) => rows.map((row) => (index === null ? row : row[index])[place]);
  return { lower: pick(0), median: pick(1), upper: pick(2) };
}

function less(values, reference) {
  return values && values.map((value, row) => (value === null || reference[row] === null ? null : value - reference[row]));
}

class Chart {
  constructor(parent, title) {
    const figure = make("figure", {}, parent);
    this.title = title;
    make("figcaption", { text: title }, figure);
    this.svg = make("svg", { tabindex: "0", role: "slider", "aria-label": title, "aria-valuemin": "0" }, figure, SVG);
    this.readout = make("p", { class: "readout" }, figure);
    this.place = null;
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => { this.place = null; this.draw(); });
    this.svg.addEventListener("blur", () => { this.place = null; this.draw(); });
  }

  show(past, future, from) {
    const first = past.time.findIndex((time) => time >= from);
    const cut = (values) => values && values.slice(Math.max(0, first));
    this.past = Object.fromEntries(Object.entries(past).map(([name, values]) => [name, cut(values)]));
    this.future = future && future.time && future.median ? future : null;
    this.draw();
  }

  key(event) {
    const last = this.past.time.length - 1, now = this.place ?? last;
    const move = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now + 20,
      PageDown: now - 20, Home: 0, End: last }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    this.place = Math.min(last, Math.max(0, move));
    this.draw();
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const time = this.left + (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right) * (this.right - this.left);
    let best = 0;
    this.past.time.forEach((each, row) => { if (Math.abs(each - time) < Math.abs(this.past.time[best] - time)) best = row; });
    this.place = best;
    this.draw();
  }

  range() {
    const all = [], widths = [];
    for (const part of [this.past, this.future]) {
      if (!part) continue;
      for (const values of [part.measured, part.median]) if (values) all.push(...values.filter((value) => value !== null));
      if (part.lower) part.lower.forEach((low, row) => { if (low !== null) widths.push(part.upper[row] - low); });
    }
    widths.sort((a, b) => a - b);
    const widest = 6 * (widths[Math.floor(widths.length / 2)] ?? 0); // the first, as wide as the prior, would hide the rest
    for (const part of [this.past, this.future]) {
      if (!part || !part.lower) continue;
      part.lower.forEach((low, row) => { if (low !== null && part.upper[row] - low <= widest) all.push(low, part.upper[row]); });
    }
    if (!all.length) return [0, 1];
    let low = Infinity, high = -Infinity;
    for (const value of all) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low >= 0 && low < 0.4 * high) low = 0;
    const slack = (high - low || Math.abs(high) || 1) * 0.06;
    return [low === 0 ? 0 : low - slack, high + slack];
  }

  draw() {
    const { past, future } = this;
    if (!past || !past.time.length) return;
    const width = this.svg.clientWidth || 320, height = this.svg.clientHeight || 176;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.left = past.time[0];
    this.right = Math.max((future ? future.time : past.time).at(-1), this.left + 1e-9);
    const [low, high] = this.range();
    const x = (time) => MARGIN.left + (time - this.left) / (this.right - this.left) * (width - MARGIN.left - MARGIN.right);
    const y = (value) => height - MARGIN.bottom - (Math.min(Math.max(value, low), high) - low) / (high - low) * (height - MARGIN.top - MARGIN.bottom);
    const axes = make("g", { "aria-hidden": "true" }, this.svg, SVG);
    for (const value of ticks(low, high, 4)) {
      make("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }, axes, SVG);
      make("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end", text: digits(value) }, axes, SVG);
    }
    const unit = clock(this.right);
    for (const value of ticks(this.left / unit.scale, this.right / unit.scale, Math.max(3, width / 90))) {
      const label = `${digits(value)} ${unit.unit}`;
      make("text", { x: x(value * unit.scale), y: height - 6, "text-anchor": "middle", text: label }, axes, SVG);
    }
    this.part(past, x, y, make("g", {}, this.svg, SVG));
    if (future) this.part(future, x, y, make("g", { class: "future" }, this.svg, SVG));
    const row = this.place === null ? past.time.length - 1 : Math.min(this.place, past.time.length - 1);
    if (this.place !== null) {
      const at = x(past.time[row]);
      make("line", { class: "cursor", x1: at, x2: at, y1: MARGIN.top, y2: height - MARGIN.bottom }, this.svg, SVG);
    }
    const said = this.values(row, unit);
    this.readout.textContent = said;
    this.svg.setAttribute("aria-valuemax", String(past.time.length - 1));
    this.svg.setAttribute("aria-valuenow", String(row));
    this.svg.setAttribute("aria-valuetext", said);
  }

  part(series, x, y, group) {
    const known = (values, row) => values && values[row] !== null;
    const forward = [], back = [], line = [];
    let dots = "";
    series.time.forEach((time, row) => {
      if (known(series.lower, row)) {
        forward.push(`${x(time).toFixed(1)},${y(series.upper[row]).toFixed(1)}`);
        back.push(`${x(time).toFixed(1)},${y(series.lower[row]).toFixed(1)}`);
      }
      if (known(series.median, row)) line.push(`${x(time).toFixed(1)},${y(series.median[row]).toFixed(1)}`);
      if (known(series.measured, row)) dots += `M${(x(time) - 1.3).toFixed(1)} ${y(series.measured[row]).toFixed(1)}a1.3 1.3 0 1 0 2.6 0a1.3 1.3 0 1 0-2.6 0`;
    });
    if (forward.length) make("polygon", { class: "band", points: [...forward, ...back.reverse()].join(" ") }, group, SVG);
    if (line.length) make("polyline", { class: "median", points: line.join(" ") }, group, SVG);
    if (dots) make("path", { class: "dots", d: dots }, group, SVG);
  }

  values(row, unit) {
    const { past } = this, said = [];
    const get = (name) => (past[name] ? past[name][row] : null);
    if (get("measured") !== null) said.push(`measured ${digits(get("measured"))}`);
    if (get("median") !== null) {
      const bounds = past.lower ? ` [${digits(get("lower"))}, ${digits(get("upper"))}]` : "";
      said.push(`${past.measured ? "predicted " : ""}${digits(get("median"))}${bounds}`);
    }
    return `${digits(past.time[row] / unit.scale)} ${unit.unit}: ${said.join(", ") || "not known"}`;
  }
}

function chart(parent, key, title) {
  if (!charts.has(key)) charts.set(key, new Chart(element(parent), title));
  return charts.get(key);
}

function showCharts() {
  const columns = run.columns, future = run.forecast || {};
  const length = Number(element("window").value), end = columns.time.at(-1);
  const from = length ? end - length : -Infinity, residual = element("residual").checked;
  const put = (parent, key, title, past, next) => {
    chart(parent, key, title).show({ time: columns.time, ...past }, next && { time: future.time, ...next }, from);
  };
  const shown = new Set();
  const reveal = (section) => { element(section).hidden = false; shown.add(section); };
  for (const name of Object.keys(run.labels)) {
    const main = SURFACE.includes(name);
    reveal(main ? "surface-time" : "more-section");
    put(main ? "quantities" : "more", name, run.labels[name], interval(columns, name), interval(future, name));
  }
  run.overtones.forEach((overtone, index) => {
    for (const [name, label, unit] of [["frequency_shift", "Δf/n", "Hz"], ["dissipation_shift", "ΔD", "10⁻⁶"]]) {
      const rows = columns[`measured.${name}`];
      if (!rows) continue;
      reveal("shifts-section");
      const relative = residual && name === "frequency_shift";
      let past = { ...interval(columns, `predicted.${name}`, index), measured: rows.map((row) => row[index]) };
      let next = interval(future, `predicted.${name}`, index);
      if (relative && past.median) {
        const middle = past.median;
        past = Object.fromEntries(Object.entries(past).map(([key, values]) => [key, less(values, middle)]));
        next = null;
      }
      put("shifts", `${name}.${overtone.order}`, `${label} at n = ${overtone.order} [${unit}]${overtone.withheld ? ", withheld" : ""}`, past, next);
    }
  });
  if (columns.effective_sample_size) {
    reveal("filter-section");
    const title = `effective sample size${run.particles ? ` of ${run.particles} particles` : ""}, mean and range of chains`;
    put("filter", "effective", title, interval(columns, "effective_sample_size"));
  }
  if (columns.current_density) {
    reveal("filter-section");
    put("filter", "current", "current [mA/cm²], plating negative", { median: columns.current_density });
  }
}

function colour(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

function picture(parent, title, rows, surface) {
  const figure = make("figure", {}, parent);
  make("figcaption", { text: title }, figure);
  const canvas = make("canvas", { width: rows[0].length, height: rows.length, role: "img", "aria-label": title }, figure);
  canvas.style.aspectRatio = `${surface.width} / ${surface.height}`;
  const context = canvas.getContext("2d"), image = context.createImageData(rows[0].length, rows.length);
  const liquid = colour("--liquid"), metal = colour("--metal");
  rows.forEach((row, y) => row.forEach((percent, x) => {
    const at = 4 * ((rows.length - 1 - y) * row.length + x);
    for (let part = 0; part < 3; part += 1) image.data[at + part] = liquid[part] + (metal[part] - liquid[part]) * percent / 100;
    image.data[at + 3] = 255;
  }));
  context.putImageData(image, 0, 0);
  make("p", { class: "readout", text: `${digits(surface.width)} nm wide, ${digits(surface.height)} nm high` }, figure);
}

function showSurface() {
  const surface = run.surface, place = element("surface");
  element("surface-section").hidden = !surface;
  place.replaceChildren();
  if (!surface) return;
  const unit = clock(surface.time), at = `${digits(surface.time / unit.scale)} ${unit.unit}`;
  picture(place, `probability of metal at ${at}`, surface.probability, surface);
  surface.draws.forEach((rows, draw) => picture(place, `draw ${draw + 1}`, rows, surface));
}

function list(parent, entries) {
  const place = element(parent);
  place.replaceChildren();
  for (const [term, value] of entries) {
    const pair = make("div", {}, place);
    make("dt", { text: term }, pair);
    make("dd", { text: value }, pair);
  }
}

function showNow(status) {
  const entries = [];
  if (run) {
    for (const name of Object.keys(run.labels).filter((each) => SURFACE.includes(each))) {
      const [low, median, high] = run.columns[name].at(-1);
      entries.push([run.labels[name], `${digits(median, 3)} [${digits(low, 3)}, ${digits(high, 3)}]`]);
    }
    const size = run.columns.effective_sample_size;
    if (size) entries.push(["effective sample size", `${digits(size.at(-1)[1], 3)}${run.particles ? ` of ${run.particles}` : ""}`]);
  }
  if (status.lag !== null) entries.push(["behind the instrument", span(status.lag)]);
  if (status.time !== null) entries.push(["recording time", span(status.time)], ["steps", String(status.steps)]);
  list("now", entries);
}

function showStatus(status) {
  element("run").textContent = status.run;
  let said = status.growing ? "The filter is running." : "The run has ended.";
  if (!status.steps) said = "Waiting for the first step.";
  else if (status.growing && status.quiet > 60) said = `No new step for ${span(60 * Math.floor(status.quiet / 60))}: the filter or the instrument may have stopped.`;
  announce(said, status.problem ? `${status.problem}. Shown: what was read before.` : "");
}

function announce(said, problem) {
  if (said + problem === announced) return; // a live region repeats what is set again
  announced = said + problem;
  element("state").textContent = said;
  element("problem").textContent = problem;
  element("problem").hidden = !problem;
}

function showRun() {
  showCharts();
  showSurface();
  list("facts", Object.entries(run.facts));
  element("forecast-note").textContent = run.forecast
    ? "Dashed: forecast of the next minutes, should the current stay what it is."
    : `No forecast: ${run.no_forecast}.`;
}

async function fetched(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function look() {
  let next = PERIOD;
  try {
    const status = await fetched("/status.json");
    if (status.version !== version) {
      run = await fetched("/run.json");
      version = status.version;
      if (run) showRun();
    } else if (!run) next = 300;
    showStatus(status);
    showNow(status);
    failures = 0;
  } catch (error) {
    failures += 1;
    if (failures > 1) announce("Not connected.", "hmm-plating watch does not answer: start it again on the same --port. Shown: what was read before.");
  }
  setTimeout(look, next);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

let stored = "auto";
try { stored = localStorage.getItem("theme") || "auto"; } catch { /* storage may be switched off */ }
setTheme(stored);
element("theme").value = stored;
element("theme").addEventListener("change", (event) => {
  setTheme(event.target.value);
  try { localStorage.setItem("theme", event.target.value); } catch { /* as above */ }
});
element("controls").addEventListener("submit", (event) => event.preventDefault());
for (const control of ["window", "residual"]) element(control).addEventListener("change", () => run && showCharts());
new ResizeObserver(() => charts.forEach((each) => each.draw())).observe(element("main"));
look();
