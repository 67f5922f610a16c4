"use strict";
// Draws a page of documents from the data block at the end of this file. Texts enter as text nodes only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = data.documents;
  const rated = data.ranges.length > 0;
  const at = (id) => document.getElementById(id);
  const ask = { search: at("search"), within: at("within"), sort: at("sort"), only: at("only"), size: at("size") };
  let page = 0;
  let shown = all;

  // Small helpers.
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  function draw(tag, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }
  const short = (value) => (value == null ? "unknown" : String(Number(value.toPrecision(3))).replace("-", "\u2212"));
  const signed = (value) => (value > 0 ? `+${short(value)}` : short(value));
  const percent = (value) => `${Math.round(100 * value)}\u00a0%`;
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  function flags(runs, words) {
    const found = new Uint8Array(words);
    for (let i = 0; i < (runs || []).length; i += 2) found.fill(1, runs[i], runs[i + 1]);
    return found;
  }
  const counted = (runs) => {
    let total = 0;
    for (let i = 0; i < (runs || []).length; i += 2) total += runs[i + 1] - runs[i];
    return total;
  };
  // 1 where the word's span raises all ratings, or speaks for the predicted labels; -1 against; else 0.
  function sides(doc) {
    const found = new Int8Array(doc.p.length);
    (doc.c || []).forEach((changes, i) => {
      const signs = new Set(changes.map(([effect]) => Math.sign(effect)));
      if (signs.size === 1) found.fill([...signs][0], doc.k[2 * i], doc.k[2 * i + 1]);
    });
    return found;
  }
  // [start, end) of each word, in the units in which strings are indexed here.
  function places(doc) {
    const found = [];
    for (let i = 0, end = 0; i < doc.o.length; i += 2) {
      const start = end + doc.o[i];
      end = start + doc.o[i + 1];
      found.push([start, end]);
    }
    return found;
  }
  function snippets(doc, runs) {
    const words = places(doc);
    const found = [];
    for (let i = 0; i < runs.length; i += 2) {
      found.push(doc.t.slice(words[runs[i]][0], words[runs[i + 1] - 1][1]).replace(/\s+/g, " "));
    }
    return found.join(" \u2026 ") || "(nothing)";
  }

  // What is predicted, by target.
  function odds(values, target) {
    if (data.per_class) return values;
    return [1 - values[target], values[target]];
  }
  const best = (chances) => chances.indexOf(Math.max(...chances));
  const truth = (doc, target) => (doc.y && doc.y[target] != null ? doc.y[target] : null);
  function said(values, target) {
    if (rated) return short(values[target]);
    const chances = odds(values, target);
    return `${data.classes[best(chances)]} (${percent(Math.max(...chances))})`;
  }
  // true, false, or null where nobody knows.
  function holds(doc, target) {
    const actual = truth(doc, target);
    if (actual == null) return null;
    if (!rated) return best(odds(doc.v, target)) === actual;
    return doc.n ? doc.n[2 * target] <= actual && actual <= doc.n[2 * target + 1] : null;
  }

  // What documents are sorted by; unknown values come last.
  const mean = (values) => {
    const known = values.filter((value) => value != null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  const targets = data.names.map((_, i) => i);
  const scores = {
    order: (doc, i) => i,
    error: (doc) =>
      mean(
        targets.map((t) => {
          const actual = truth(doc, t);
          if (actual == null || doc.v[t] == null) return null;
          if (!rated) return 1 - odds(doc.v, t)[actual];
          return Math.abs(doc.v[t] - actual) / (data.ranges[t][1] - data.ranges[t][0]);
        }),
      ),
    truth: (doc) => mean(targets.map((t) => truth(doc, t))),
    value: (doc) => mean(targets.map((t) => doc.v[t])),
    sure: (doc) => mean(targets.map((t) => Math.max(...odds(doc.v, t)))),
    share: (doc) => (doc.p.length ? counted(doc.k) / doc.p.length : null),
    unsure: (doc) => mean(doc.p.map((p) => p * (100 - p))),
    length: (doc) => doc.p.length,
    gold: (doc) => {
      if (!doc.g || !doc.g.length) return null;
      return (2 * hits(doc)) / (counted(doc.k) + counted(doc.g));
    },
  };
  function hits(doc) {
    const gold = flags(doc.g, doc.p.length);
    return flags(doc.k, doc.p.length).reduce((sum, kept, i) => sum + (kept & gold[i]), 0);
  }
  const wanted = {
    all: () => true,
    empty: (doc) => doc.k.length === 0,
    wrong: (doc) => targets.some((t) => holds(doc, t) === false),
    miss: (doc) => doc.g !== undefined && doc.g.length > 0 && hits(doc) === 0,
  };

  const lowered = new Map();
  function searched(doc, within) {
    const key = within ? "kept" : "text";
    if (!lowered.has(doc)) lowered.set(doc, {});
    const known = lowered.get(doc);
    if (!(key in known)) known[key] = (within ? snippets(doc, doc.k) : `${doc.t} ${doc.i}`).toLowerCase();
    return known[key];
  }
  function choose() {
    const query = ask.search.value.trim().toLowerCase();
    const keep = wanted[ask.only.value];
    shown = all.filter((doc) => keep(doc) && (!query || searched(doc, ask.within.checked).includes(query)));
    const name = ask.sort.value.replace("-", "");
    const sign = ask.sort.value.endsWith("-") ? -1 : 1;
    const values = new Map(shown.map((doc) => [doc, scores[name](doc, number.get(doc))]));
    shown.sort((one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      if (a == null || b == null) return (a == null) - (b == null);
      return sign * (a - b);
    });
    page = 0;
    show();
  }
  const number = new Map(all.map((doc, i) => [doc, i]));

  // A document.
  function strip(doc, target) {
    const [low, high] = data.ranges[target];
    const x = (value) => 6 + (138 * (Math.min(Math.max(value, low), high) - low)) / (high - low);
    const picture = draw("svg", { class: "strip", viewBox: "0 0 150 22", "aria-hidden": "true" });
    picture.append(draw("path", { class: "track", d: "M6 11H144M6 7v8M144 7v8" }));
    if (doc.n) {
      const [from, to] = [x(doc.n[2 * target]), x(doc.n[2 * target + 1])];
      picture.append(draw("rect", { class: "range", x: from, y: 6, width: Math.max(1, to - from), height: 10, rx: 2 }));
    }
    const actual = truth(doc, target);
    if (actual != null) {
      const place = x(actual);
      picture.append(draw("path", { class: "true", d: `M${place} 4l6 7l-6 7l-6 -7z` }));
    }
    if (doc.v[target] != null) picture.append(draw("circle", { class: "said", cx: x(doc.v[target]), cy: 11, r: 3.5 }));
    return picture;
  }
  // One list per target, under its name if there are several.
  function predictions(doc) {
    const name = (target) => (data.names.length > 1 ? [make("p", { class: "target" }, data.names[target])] : []);
    return targets.flatMap((target) => [...name(target), prediction(doc, target)]);
  }
  function prediction(doc, target) {
    const list = make("dl", { class: "prediction" });
    const add = (label, ...values) => {
      list.append(make("div", {}, make("dt", {}, label), make("dd", {}, ...values)));
    };
    add(rated ? "predicted \u25cf" : "predicted", said(doc.v, target));
    if (doc.n) add(`${data.level} interval`, `${short(doc.n[2 * target])} to ${short(doc.n[2 * target + 1])}`);
    const actual = truth(doc, target);
    if (actual != null) {
      const verdict = holds(doc, target);
      const words = rated ? ["\u2717 outside", "\u2713 inside"] : ["\u2717 wrong", "\u2713 right"];
      const mark = make("span", { class: verdict ? "right" : "wrong" }, verdict == null ? "" : words[Number(verdict)]);
      add(rated ? "true \u25c7" : "true", rated ? short(actual) : data.classes[actual], mark);
    }
    if (rated) list.append(strip(doc, target));
    return list;
  }
  function text(doc) {
    const paragraph = make("p", { class: "text", dir: "auto" });
    const kept = flags(doc.k, doc.p.length);
    const gold = flags(doc.g, doc.p.length);
    const side = sides(doc);
    let end = 0;
    let open = null; // the last span, to which more of the same look is added
    const add = (from, to, shade, keep, true_, p, sign) => {
      if (from === to) return;
      const speaks = keep && (sign > 0 ? "for" : sign < 0 && "against");
      const look = [shade && `s${shade}`, keep && "k", speaks, true_ && "g"].filter(Boolean).join(" ");
      const part = doc.t.slice(from, to);
      if (!look && !p) {
        paragraph.append(part);
        open = null;
      } else if (open && open.className === look && !p && !open.dataset.p) {
        open.append(part);
      } else {
        open = make("span", look ? { class: look } : {}, part);
        if (p) open.dataset.p = p;
        paragraph.append(open);
      }
    };
    places(doc).forEach(([from, to], i) => {
      add(end, from, 0, i && kept[i] && kept[i - 1], i && gold[i] && gold[i - 1], 0, side[i]);
      add(from, to, Math.floor((doc.p[i] + 5) / 10), kept[i], gold[i], doc.p[i] >= 5 ? doc.p[i] : 0, side[i]);
      end = to;
    });
    if (end < doc.t.length) paragraph.append(make("span", { class: "un" }, doc.t.slice(end)));
    if (doc.u) paragraph.append(make("span", { class: "un" }, `\u2026 (${plural(doc.u, "more character")} not read)`));
    return paragraph;
  }
  // A list for each target that has a rationale of its own.
  function own(doc) {
    return (doc.m || []).map(([runs, changes], target) => {
      const letter = `${String.fromCharCode(65 + (target % 26))}${Math.floor(target / 26) || ""}`;
      const label = rated ? "" : `, log odds of ${data.classes[best(odds(doc.v, target))]}`;
      const list = make("ol", { class: "others" });
      for (let i = 0; i < runs.length; i += 2) {
        const [effect, removed, alone] = (changes[i / 2] || [[]])[0];
        const facts = changes.length ? `${signed(effect)} (${signed(removed)} if removed, ${signed(alone)} alone)` : "";
        const note = make("span", { class: "note", dir: "ltr" }, facts);
        list.append(make("li", { dir: "auto" }, snippets(doc, runs.slice(i, i + 2)), note));
      }
      const name = `${letter} ${data.names[target]}${label}: ${plural(runs.length / 2, "span")}`;
      return make("details", { open: "" }, make("summary", {}, name), list);
    });
  }
  function effects(doc) {
    if (!doc.c || !doc.c.length) return [];
    const several = data.names.length > 1;
    const list = make("ol", { class: "others" });
    doc.c.forEach((changes, i) => {
      const facts = changes.map(([effect, removed, alone], target) => {
        const label = rated ? "" : `log odds of ${data.classes[best(odds(doc.v, target))]}`;
        const name = [several || rated ? data.names[target] : "", label].filter(Boolean).join(", ");
        return `${name} ${signed(effect)} (${signed(removed)} if removed, ${signed(alone)} alone)`;
      });
      const note = make("span", { class: "note", dir: "ltr" }, facts.join("; "));
      list.append(make("li", { dir: "auto" }, snippets(doc, doc.k.slice(2 * i, 2 * i + 2)), note));
    });
    return [make("details", {}, make("summary", {}, `for and against: ${plural(doc.c.length, "span")}`), list)];
  }
  function others(doc) {
    const list = make("ol", { class: "others" });
    for (const [frequency, logq, runs, values] of doc.a || []) {
      const same = runs.join() === doc.k.join() ? "underlined above; " : "";
      const found = targets.map((t) => `${data.names.length > 1 ? `${data.names[t]} ` : ""}${said(values, t)}`);
      const facts = `${same}${frequency}\u00a0% of draws, log q ${short(logq)}, predicts ${found.join(", ")}`;
      list.append(make("li", { dir: "auto" }, snippets(doc, runs), make("span", { class: "note", dir: "ltr" }, facts)));
    }
    if (!doc.a) list.append(make("li", { dir: "auto" }, snippets(doc, doc.k)));
    const block = make("details", {}, make("summary", {}, plural(doc.a ? doc.a.length : 1, "rationale")), list);
    if (doc.g) block.append(make("p", { class: "others", dir: "auto" }, `Gold: ${snippets(doc, doc.g)}`));
    return block;
  }
  function card(doc) {
    const i = number.get(doc);
    const kept = counted(doc.k);
    const share = doc.p.length ? ` (${percent(kept / doc.p.length)})` : "";
    return make(
      "article",
      { class: "doc", "aria-labelledby": `doc-${i}` },
      make(
        "header",
        {},
        make("h3", { id: `doc-${i}` }, doc.i),
        make("p", {}, `${kept} of ${plural(doc.p.length, "word")} kept${share}`),
      ),
      make("div", { class: "said-all" }, ...predictions(doc)),
      text(doc),
      make("div", { class: "more" }, ...own(doc), ...effects(doc), others(doc)),
    );
  }

  // A page of them, the first at once and long pages bit by bit, so that the window stays alive meanwhile.
  const atOnce = 40;
  let rest = [];
  let timer;
  function fill(documents) {
    clearTimeout(timer);
    rest = documents.slice(atOnce);
    at("list").classList.toggle("many", documents.length > 100); // only what is in view is laid out
    at("list").replaceChildren(...documents.slice(0, atOnce).map(card));
    timer = setTimeout(more);
  }
  function more(count = atOnce) {
    if (!rest.length) return;
    at("list").append(...rest.splice(0, count).map(card));
    timer = setTimeout(more);
  }
  function show() {
    const size = Number(ask.size.value) || Math.max(1, shown.length);
    const pages = Math.max(1, Math.ceil(shown.length / size));
    const chosen = shown.slice(page * size, (page + 1) * size);
    fill(chosen);
    const some = shown.length === all.length ? "" : ` found, of ${all.length.toLocaleString("en")}`;
    const range = chosen.length ? `: ${page * size + 1} to ${page * size + chosen.length} shown` : "";
    at("status").textContent = `${plural(shown.length, "document")}${some}${range}`;
    for (const nav of document.querySelectorAll("[data-pages]")) {
      nav.hidden = pages === 1;
      const [back, place, on] = nav.children;
      back.disabled = page === 0;
      on.disabled = page === pages - 1;
      place.textContent = `Page ${page + 1} of ${pages}`;
    }
  }
  function turn(by, below) {
    page += by;
    show();
    if (below) {
      at("documents").focus({ preventScroll: true });
      at("status").scrollIntoView();
    }
  }
  document.querySelectorAll("[data-pages]").forEach((nav, below) => {
    const back = make("button", { type: "button" }, "Previous");
    const on = make("button", { type: "button" }, "Next");
    back.addEventListener("click", () => turn(-1, below));
    on.addEventListener("click", () => turn(1, below));
    nav.append(back, make("span", {}), on);
  });

  // Controls.
  let waiting;
  ask.search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 150);
  });
  for (const name of ["within", "sort", "only", "size"]) ask[name].addEventListener("change", choose);
  at("numbers").addEventListener("change", (event) => {
    at("list").classList.toggle("with-numbers", event.target.checked);
  });
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("controls").hidden = false;

  // On paper all rationales are open, and afterwards as before; figures are as the reader left them.
  let closed = [];
  addEventListener("beforeprint", () => {
    more(rest.length);
    closed = [...document.querySelectorAll(".doc details:not([open])")];
    for (const block of closed) block.open = true;
  });
  addEventListener("afterprint", () => {
    for (const block of closed) block.open = false;
  });
  choose();
})();
