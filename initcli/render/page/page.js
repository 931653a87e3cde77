"use strict";

// Colors first, so that the page never shows others.
const themes = {
  get() {
    try { return localStorage.getItem("initcli-theme") || "auto"; } catch { return "auto"; }
  },
  set(theme) {
    document.documentElement.dataset.theme = theme;
    // A local file may not be allowed to store anything.
    try { localStorage.setItem("initcli-theme", theme); } catch { /* not stored */ }
  },
};
document.documentElement.dataset.theme = themes.get();

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** An HTML element with attributes and children; strings are text, not markup. */
function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}
function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A number formatted as with Python's format "g". */
function general(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return trimmed(value.toFixed(digits - 1 - exponent));
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${trimmed(mantissa)}e${exponent < 0 ? "-" : "+"}${size}`;
}
/** The value at a path of keys; null where there is none. */
const at = (value, path) => path.reduce((inner, key) => inner?.[key] ?? null, value);
const counted = (value) => value.toLocaleString("en-US");
function amount(value) {
  for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (value >= size) return general(value / (unit === "k" ? 1e3 : size), 4) + unit;
  }
  return general(value, 5);
}
const shapeText = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

/** About so many round numbers in a range, and the digits that tell them apart. */
function ticks(low, high, about) {
  for (let most = about; ; most++) {
    const found = roundNumbers(low, high, most);
    if (found.values.length > 2 || most > about + 4) return found;
  }
}
function roundNumbers(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high * (1 + 1e-12) + step * 1e-9; place++) {
    found.push(place * step);
    if (found.length > 50) break;
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  return { values: found, digits: clamp(Math.ceil(Math.log10(largest / step)) + 1, 1, 15) };
}

document.addEventListener("DOMContentLoaded", () => {
  const page = JSON.parse(document.getElementById("initcli-data").textContent);
  const choice = all("input[name=theme]");
  for (const input of choice) {
    input.checked = input.value === themes.get();
    input.addEventListener("change", () => themes.set(input.value));
  }
  one(".theme").hidden = false;
  if (page.tensors) tensorTable(page);
  otherCells();
  if (page.signal && page.signal.layers.length) signalReadout(page.signal);
  copyButtons();
  reachSections();
});

// ---------------------------------------------------------------- the table of tensors

function tensorTable(page) {
  const tensors = page.tensors;
  const body = one("#tensor-table tbody");
  const rows = [...body.rows];
  const words = tensors.map((each) =>
    [each.path, each.initializer_text ?? "", each.distribution ? each.distribution.text : "distribution not known"].join(" ").toLowerCase());
  const collator = new Intl.Collator("en", { numeric: true });
  let order = tensors.map((_, place) => place);
  let visible = order;

  const keys = {
    path: (each) => each.path,
    shape: (each) => each.shape,
    size: (each) => each.size,
    initializer: (each) => each.initializer_text,
    distribution: (each) => (each.distribution ? each.distribution.text : null),
    p: (each) => (each.fit ? each.fit.p_value : null),
  };
  page.columns.forEach((column, number) => {
    keys[number] = (each) => at(each, each.measured ? column.path : column.expected ?? column.path);
  });
  const kinds = {
    all: () => true,
    kernel: (each) => /kernel[^/]*$|weight$/.test(each.path),
    bias: (each) => /bias[^/]*$/.test(each.path),
    poor: (each) => each.poor,
  };

  function compare(one, other) {
    if (Array.isArray(one)) {
      for (let axis = 0; axis < Math.max(one.length, other.length); axis++) {
        const apart = (one[axis] ?? -1) - (other[axis] ?? -1);
        if (apart) return apart;
      }
      return 0;
    }
    if (typeof one === "string") return collator.compare(one, other);
    return one < other ? -1 : one > other ? 1 : 0;
  }

  function sort(key, direction) {
    order = tensors.map((_, place) => place);
    if (direction) {
      const values = tensors.map(keys[key]);
      const known = order.filter((place) => values[place] !== null);
      known.sort((a, b) => direction * compare(values[a], values[b]) || a - b);
      order = [...known, ...order.filter((place) => values[place] === null)];
    }
    body.replaceChildren(...order.map((place) => rows[place]));
    show();
  }

  const search = one("#search");
  const nothing = html("p", { class: "nothing" }, "No tensor matches.");
  nothing.hidden = true;
  one("#tensor-table").after(nothing);

  function show() {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = kinds[one("input[name=kind]:checked").value];
    const fits = (place) =>
      terms.every((term) => words[place].includes(term)) && kind(tensors[place]);
    visible = order.filter(fits);
    const chosen = new Set(visible);
    rows.forEach((row, place) => {
      if (row.hidden === chosen.has(place)) row.hidden = !row.hidden;
    });
    nothing.hidden = visible.length > 0;
    one("#shown").textContent = `${counted(visible.length)} of ${counted(rows.length)} tensors`;
  }

  const heads = all("#tensor-table thead th[data-key]");
  for (const head of heads) {
    const button = html("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const next = { ascending: "descending", descending: null }[was];
      const now = was ? next : "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (now) head.setAttribute("aria-sort", now);
      sort(head.dataset.key, { ascending: 1, descending: -1 }[now]);
    });
  }
  search.addEventListener("input", show);
  for (const input of all("input[name=kind]")) input.addEventListener("change", show);
  const controls = one(".controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  // The browser may have restored the fields.
  show();

  openTensors(page, () => visible, (place) => rows[place].querySelector("a"));
}

/** Folded cells of the overview become part of the document when they are opened. */
function otherCells() {
  const others = one("#others");
  if (!others) return;
  others.addEventListener("toggle", () => {
    const folded = one("noscript", others);
    if (!folded) return;
    const cells = document.createRange().createContextualFragment(folded.textContent);
    for (const use of cells.querySelectorAll("use")) {
      use.replaceWith(...one(use.getAttribute("href")).cloneNode(true).childNodes);
    }
    folded.replaceWith(cells);
  });
}

// ---------------------------------------------------------------- one tensor

function openTensors({ tensors, columns }, shown, link) {
  const dialog = one("#tensor");
  const places = new Map(tensors.map((each, place) => [each.path, place]).reverse());
  let current = null;
  let opener = null;
  let opened = false;

  const address = (place) =>
    `#t=${tensors[place].path.split("/").map(encodeURIComponent).join("/")}`;
  function addressed(hash) {
    if (!hash.startsWith("#t=")) return null;
    try { return places.get(decodeURIComponent(hash.slice(3))) ?? null; } catch { return null; }
  }
  const wanted = () => addressed(location.hash);

  function follow() {
    const place = wanted();
    if (place === null) {
      if (dialog.open) dialog.close();
      return;
    }
    current = place;
    draw(tensors[place], columns);
    const among = shown().indexOf(place);
    one("#previous").disabled = among <= 0;
    one("#next").disabled = among < 0 || among >= shown().length - 1;
    if (!dialog.open) dialog.showModal();
    one("#tensor-title").focus({ preventScroll: true });
    dialog.scrollTop = 0;
  }

  function step(by) {
    const among = shown().indexOf(current);
    const place = among < 0 ? undefined : shown()[among + by];
    // Replaces the address, so that Back returns to where the first tensor was opened.
    if (place !== undefined) location.replace(address(place));
  }

  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[href^='#t=']");
    if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
    opener = anchor;
    opened = true;
  });
  dialog.addEventListener("close", () => {
    const place = current;
    current = null;
    if (wanted() !== null) {
      if (opened) history.back();
      else location.replace("#tensors");
    }
    opened = false;
    const row = place === null ? null : link(place);
    const inRow = row && row.checkVisibility();
    const back = opener && addressed(opener.hash) === place ? opener : inRow ? row : opener;
    if (back) back.focus();
    opener = null;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  one("#previous").addEventListener("click", () => step(-1));
  one("#next").addEventListener("click", () => step(1));
  one("#close").addEventListener("click", () => dialog.close());
  window.addEventListener("hashchange", follow);
  follow();
}

function draw(tensor, columns) {
  one("#tensor-title").textContent = tensor.path;
  const distribution = tensor.distribution;
  const drawn = tensor.measured;
  const some = drawn && drawn.count + drawn.nans + drawn.infs < tensor.size;
  const word = tensor.values === "stored" ? "stored" : "drawn";
  const facts = [
    tensor.initializer_text && ["initializer", tensor.initializer_text],
    ["distribution", distribution ? distribution.text : "not known"],
    ["shape", shapeText(tensor.shape)],
    ["weights", counted(tensor.size)],
    ["dtype", tensor.dtype],
    tensor.fan_in !== null && ["fan in, fan out", `${counted(tensor.fan_in)}, ${counted(tensor.fan_out)}`],
    tensor.trainable !== null && ["trained", tensor.trainable ? "yes" : "no"],
    drawn && [word, some ? `the first ${counted(drawn.count)}` : "all"],
    tensor.fit && ["distance from the distribution", `${general(tensor.fit.statistic, 3)} (Kolmogorov–Smirnov)`],
    tensor.fit && ["fit p", `${general(tensor.fit.p_value, 2)}${tensor.poor ? " (poor)" : ""}`],
  ].filter(Boolean);
  const row = ([name, value]) =>
    html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, value));
  const plain = html("table", { class: "plain" }, html("caption", {}, "The tensor"),
    html("tbody", {}, ...facts.map(row)));
  const picture = tensor.picture
    ? html("p", {}, html("a", { href: `./${tensor.picture.split("/").map(encodeURIComponent).join("/")}` },
      "Its picture as a file"))
    : null;
  one("#tensor-body").replaceChildren(
    ...(tensor.bars ? histogram(tensor) : [html("p", { class: "nothing" }, "Nothing to picture.")]),
    html("div", { class: "columns" }, figuresTable(tensor, columns), html("div", {}, plain, picture)),
  );
}

function figuresTable(tensor, columns) {
  const { distribution, measured: drawn } = tensor;
  const rows = columns.map(({ heading, path, expected }) => [
    heading,
    general(at(tensor, path)),
    distribution && expected
      ? general(at(tensor, expected)) || { low: "-∞", high: "∞" }[expected.at(-1)]
      : null,
  ]);
  if (drawn) rows.push(["zeros", counted(drawn.zeros), null]);
  if (drawn?.nans) rows.push(["NaNs", counted(drawn.nans), null]);
  if (drawn?.infs) rows.push(["infinities", counted(drawn.infs), null]);
  const titles = ["", drawn && (tensor.values === "stored" ? "stored" : "drawn"), distribution && "distribution"].filter((title) => title !== null && title !== undefined);
  const head = titles.map((title) => (title
    ? html("th", { scope: "col", class: "number" }, title) : html("td")));
  const cells = ([name, seen, expected]) => html("tr", {}, html("th", { scope: "row" }, name),
    ...[drawn ? seen : undefined, distribution ? expected : undefined]
      .filter((value) => value !== undefined)
      .map((value) => html("td", { class: "number" }, value ?? "")));
  return html("table", {}, html("caption", {}, "Figures"), html("thead", {}, html("tr", {}, ...head)),
    html("tbody", {}, ...rows.map(cells)));
}

/** The large histogram of a tensor, with a slider that reads its bins. */
function histogram(tensor) {
  const { distribution, measured: drawn } = tensor;
  const { bars } = tensor;
  const { counts, expected } = bars;
  const bins = Math.max(counts.length, expected.length);
  const edges = [bars.low];
  for (let bin = 0; bin < bins - 1; bin++) edges.push(bars.start + bin * bars.width);
  edges.push(bars.high);
  // The bins at the ends have widths of their own: equal densities get equal heights.
  const height = (count, bin) => (count * bars.width) / (edges[bin + 1] - edges[bin]);
  const bar = counts.map(height);
  const line = expected.map(height);
  const top = Math.max(...bar, ...line, 1e-300) * 1.05;
  const margin = bins > 1 ? 0.03 * (bars.high - bars.low) : 0;
  const [low, high] = [bars.low - margin, bars.high + margin];
  const across = (value) => ((value - low) / (high - low)) * 1000;
  const down = (value) => 400 - (value / top) * 400;
  const f = (value) => Number(value.toFixed(2));

  const shape = (value, left, right) =>
    `M${f(across(left))} 400V${f(down(value))}H${f(across(right))}V400z`;
  let barPath = bar.map((value, bin) => (value ? shape(value, edges[bin], edges[bin + 1]) : "")).join("");
  let linePath = line.map((value, bin) =>
    `${bin ? "" : `M${f(across(edges[0]))} ${f(down(value))}`}V${f(down(value))}H${f(across(edges[bin + 1]))}`).join("");
  if (bins === 1) {
    // A constant has no width.
    const middle = (bars.low + bars.high) / 2;
    const half = (bars.high - bars.low) / 80;
    if (bar.length) barPath = shape(bar[0], middle - half, middle + half);
    if (line.length) linePath = `M${f(across(middle - 2 * half))} ${f(down(line[0]))}H${f(across(middle + 2 * half))}`;
  }

  const upTicks = ticks(0, top, 5);
  const wide = window.matchMedia("(min-width: 44rem)").matches;
  const acrossTicks = ticks(low, high, wide ? 8 : 4);
  const up = upTicks.values.filter((value) => !drawn || value === Math.round(value) || top < 2);
  const place = (share) => `${(share * 100).toFixed(2)}%`;
  const cursor = svg("rect", { class: "chosen", y: 0, height: 400, x: -10, width: 0 });
  const said = `Histogram of ${tensor.path}. ` +
    (drawn ? `${counted(drawn.count)} entries drawn from ${general(drawn.min)} to ${general(drawn.max)}, ` +
      `mean ${general(drawn.mean)}, standard deviation ${general(drawn.std)}. ` : "Nothing was drawn. ") +
    (distribution ? `The distribution is ${distribution.text}, with mean ${general(distribution.mean)} and standard deviation ${general(distribution.std)}.` +
      (tensor.fit ? ` The fit has p ${general(tensor.fit.p_value, 2)}.` : "") : "The distribution is not known.");
  const plot = svg("svg", { class: "plot", role: "img", "aria-label": said },
    ...up.map((value) => svg("line", { class: "grid", x1: 0, x2: "100%",
      y1: place(1 - value / top), y2: place(1 - value / top) })),
    svg("svg", { viewBox: "0 0 1000 400", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { class: "bars", d: barPath }), cursor,
      svg("path", { class: "distribution", d: linePath })));
  const figure = html("figure", { class: "chart" },
    html("figcaption", { class: "key" },
      ...(drawn ? [html("span", { class: "swatch drawn" }), "drawn "] : []),
      ...(distribution ? [html("span", { class: "swatch line" }), "distribution"] : [])),
    svg("svg", { class: "axis up", "aria-hidden": "true" }, ...up.map((value) =>
      svg("text", { x: "100%", y: place(1 - value / top), dy: ".35em" }, amount(value)))),
    plot,
    svg("svg", { class: "axis across", "aria-hidden": "true" }, ...acrossTicks.values.map((value) =>
      svg("text", { x: place((value - low) / (high - low)), y: "1.1em" }, general(value, acrossTicks.digits)))),
    html("div", { class: "unit" }, bins > 1
      ? `weight; entries are those of a bin ${general(bars.width, 3)} wide` : "weight"));

  const range = html("input", { type: "range", id: "bin-range", min: 0, max: bins - 1, value: 0 });
  const output = html("output", { for: "bin-range" });
  const read = (bin) => {
    range.value = bin;
    cursor.setAttribute("x", f(across(edges[bin])));
    cursor.setAttribute("width", f(across(edges[bin + 1]) - across(edges[bin])));
    const text = [
      `${general(edges[bin])} to ${general(edges[bin + 1])}`,
      drawn && `${counted(counts[bin])} drawn`,
      distribution && `${amount(Number(expected[bin].toPrecision(4)))} expected`,
    ].filter(Boolean).join(" · ");
    output.textContent = text;
    range.setAttribute("aria-valuetext", text);
  };
  range.addEventListener("input", () => read(Number(range.value)));
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const value = low + ((event.clientX - box.left) / box.width) * (high - low);
    let bin = 0;
    while (bin < bins - 1 && value >= edges[bin + 1]) bin++;
    read(bin);
  });
  const heights = bar.length ? bar : line;
  if (bins > 1) read(heights.indexOf(Math.max(...heights)));
  const readout = html("div", { class: "readout" }, html("label", { for: "bin-range" }, "Bin"), range, output);
  readout.hidden = bins === 1;
  return [figure, readout];
}

// ---------------------------------------------------------------- the signal

function signalReadout(signal) {
  const range = one("#layer-range");
  const output = one("#layer-output");
  const cursors = all("#panels .cursor");
  const spread = (value) => {
    if (value.median === null) return "overflows";
    const same = value.low === value.high;
    return general(value.median, 3) + (same ? "" : ` (${general(value.low, 3)} to ${general(value.high, 3)})`);
  };
  const figure = (name, seen, predicted) => {
    const parts = [seen && spread(seen), predicted != null && `predicted ${general(predicted, 3)}`];
    return parts.some(Boolean) ? `${name} ${parts.filter(Boolean).join(", ")}` : null;
  };
  function read(place) {
    range.value = place;
    const layer = signal.layers[place];
    const text = [
      `${place + 1}: ${layer.name} (${layer.type})`,
      figure("output std", layer.output?.std, layer.predicted.std),
      figure("gradient rms", layer.gradient?.rms, layer.predicted.gradient_rms),
    ].filter(Boolean).join(" · ");
    output.textContent = text;
    range.setAttribute("aria-valuetext", text);
    const x = `${((place + 0.5) / signal.layers.length) * 100}%`;
    for (const cursor of cursors) {
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    }
  }
  range.addEventListener("input", () => read(Number(range.value)));
  for (const plot of all("#panels .plot")) {
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      read(clamp(Math.floor(share * signal.layers.length), 0, signal.layers.length - 1));
    });
  }
  read(0);
  one("#signal .readout").hidden = false;
}

// ---------------------------------------------------------------- findings

/** Rows get their height when they come into view, which moves a section that is scrolled to. */
function reachSections() {
  const reach = () => {
    const section = location.hash.startsWith("#t=") ? null : document.getElementById(location.hash.slice(1));
    let frames = section ? 10 : 0;
    const again = () => {
      section.scrollIntoView();
      if (--frames > 0) requestAnimationFrame(again);
    };
    if (frames) requestAnimationFrame(again);
  };
  window.addEventListener("hashchange", reach);
  reach();
}

function copyButtons() {
  for (const button of all(".copy")) {
    const code = one("code", button.parentElement);
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Copying is not allowed: select the text instead.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}
