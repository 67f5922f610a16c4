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
  let alone = null; // id of the one document to show
  let phrase = null; // key of the phrase whose documents to show

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
  const whole = (value) => Math.abs(value) >= 999.5 || Number.isInteger(value);
  const digits = (value) => (whole(value) ? String(Math.round(value)) : value.toPrecision(3));
  const short = (value) => (value == null ? "unknown" : digits(value).replace("-", "\u2212"));
  const signed = (value) => (value == null || value < 0 ? short(value) : `+${short(value)}`);
  const percent = (value) => `${Math.round(100 * value)}\u00a0%`;
  const likely = (chance) => `probability ${chance.replace(" ", "\u00a0")}`;
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
  // Number of the class that a document is called: the most probable one, unless the run has a rule.
  function best(values, target) {
    const chances = odds(values, target).map((p, i) => p * (data.factors ? data.factors[target][i] : 1));
    const most = Math.max(...chances);
    return data.per_class ? chances.indexOf(most) : chances.lastIndexOf(most);
  }
  const truth = (doc, target) => (doc.y && doc.y[target] != null ? doc.y[target] : null);
  function said(values, target) {
    if (rated) return short(values[target]);
    const label = best(values, target);
    return `${data.classes[label]} (${percent(odds(values, target)[label])})`;
  }
  // true, false, or null where nobody knows.
  function holds(doc, target) {
    const actual = truth(doc, target);
    if (actual == null) return null;
    if (!rated) return best(doc.v, target) === actual;
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
  const asked = () => ask.search.value.trim().toLowerCase();
  function choose(first = 0) {
    const query = asked();
    const keep = wanted[ask.only.value];
    const held = phrase === null ? null : new Set(data.phrases[phrase][1].map((i) => all[i]));
    shown = all.filter((doc) => {
      if (alone !== null) return doc.i === alone;
      if (held && !held.has(doc)) return false;
      return keep(doc) && (!query || searched(doc, ask.within.checked).includes(query));
    });
    const name = ask.sort.value.replace("-", "");
    const sign = ask.sort.value.endsWith("-") ? -1 : 1;
    const values = new Map(shown.map((doc) => [doc, scores[name](doc, number.get(doc))]));
    shown.sort((one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      if (a == null || b == null) return (a == null) - (b == null);
      return sign * (a - b);
    });
    page = Math.min(first, Math.max(0, pages() - 1));
    show();
  }
  const perPage = () => Number(ask.size.value) || Math.max(1, shown.length);
  const pages = () => Math.max(1, Math.ceil(shown.length / perPage()));
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
    if (data.averaged) add("from these words alone", said(doc.w || doc.v, target));
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
  const letter = (target) => `${String.fromCharCode(65 + (target % 26))}${Math.floor(target / 26) || ""}`;
  // What is searched for, as [start, end) in the text; nothing where lower case has another length.
  function found(doc) {
    const query = phrase === null ? asked() : data.phrases[phrase][0];
    const lower = doc.t.toLowerCase();
    const hits = [];
    if (alone !== null || !query || lower.length !== doc.t.length) return hits;
    for (let i = lower.indexOf(query); i >= 0; i = lower.indexOf(query, i + query.length)) {
      hits.push([i, i + query.length]);
    }
    return hits;
  }
  function text(doc) {
    const paragraph = make("p", { class: "text", dir: "auto" });
    const kept = flags(doc.k, doc.p.length);
    const gold = flags(doc.g, doc.p.length);
    const side = sides(doc);
    const masks = (doc.m || []).map(([runs]) => flags(runs, doc.p.length));
    const owners = (i) => masks.flatMap((mask, target) => (mask[i] ? [target] : []));
    const hits = found(doc);
    let end = 0;
    let open = null; // the last element, to which more of the same look is added
    const write = (from, to, look, keep, p, letters, hit) => {
      const part = doc.t.slice(from, to);
      const classes = [look, hit && "hit"].filter(Boolean).join(" ");
      if (!classes && !p) {
        paragraph.append(part);
        open = null;
      } else if (open && open.className === classes && !p && !open.dataset.p && !letters && !open.dataset.letters) {
        open.append(part);
      } else {
        open = make(keep || hit ? "mark" : "span", classes ? { class: classes } : {}, part);
        if (p) open.dataset.p = p;
        if (letters) open.dataset.letters = letters;
        paragraph.append(open);
      }
    };
    const add = (from, to, shade, keep, true_, p, sign, own, starts) => {
      if (from === to) return;
      const speaks = keep && (sign > 0 ? "for" : sign < 0 && "against");
      const colour = keep && own.length && (own.length > 1 ? "tt" : `t${own[0] % 8}`);
      const look = [shade && `s${shade}`, keep && "k", speaks, colour, true_ && "g"].filter(Boolean).join(" ");
      const cuts = hits.flat().filter((cut) => cut > from && cut < to);
      [from, ...cuts].forEach((start, i) => {
        const stop = i < cuts.length ? cuts[i] : to;
        const hit = hits.some(([a, b]) => a <= start && stop <= b);
        write(start, stop, look, keep, stop === to ? p : 0, i || !starts ? "" : own.map(letter).join(""), hit);
      });
    };
    let before = "";
    places(doc).forEach(([from, to], i) => {
      const own = owners(i);
      const joined = i > 0 && kept[i] && kept[i - 1] && own.join() === before;
      add(end, from, 0, joined, i && gold[i] && gold[i - 1], 0, side[i], own, false);
      add(from, to, Math.floor((doc.p[i] + 5) / 10), kept[i], gold[i], doc.p[i] >= 5 ? doc.p[i] : 0, side[i], own,
        !joined);
      [end, before] = [to, own.join()];
    });
    if (end < doc.t.length) paragraph.append(make("span", { class: "un" }, doc.t.slice(end)));
    if (doc.u) paragraph.append(make("span", { class: "un" }, `\u2026 (${plural(doc.u, "more character")} not read)`));
    return paragraph;
  }
  // A list for each target that has a rationale of its own.
  function own(doc) {
    return (doc.m || []).map(([runs, changes, chance], target) => {
      const label = rated ? "" : `, log odds of ${data.classes[best(doc.v, target)]}`;
      const list = make("ol", { class: "others" });
      for (let i = 0; i < runs.length; i += 2) {
        const [effect, removed, alone] = (changes[i / 2] || [[]])[0];
        const facts = changes.length ? `${signed(effect)} (${signed(removed)} if removed, ${signed(alone)} alone)` : "";
        const note = make("span", { class: "note", dir: "ltr" }, facts);
        list.append(make("li", { dir: "auto" }, snippets(doc, runs.slice(i, i + 2)), note));
      }
      const same = chance == null ? "" : `; ${likely(chance)}`;
      const name = `${letter(target)} ${data.names[target]}${label}: ${plural(runs.length / 2, "span")}${same}`;
      return make("details", { open: "" }, make("summary", {}, name), list);
    });
  }
  function effects(doc) {
    if (!doc.c || !doc.c.length) return [];
    const several = data.names.length > 1;
    const list = make("ol", { class: "others" });
    doc.c.forEach((changes, i) => {
      const facts = changes.map(([effect, removed, alone], target) => {
        const label = rated ? "" : `log odds of ${data.classes[best(doc.v, target)]}`;
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
    for (const [chance, logq, runs, values] of doc.a || []) {
      const same = runs.join() === doc.k.join() ? "underlined above; " : "";
      const found = targets.map((t) => `${data.names.length > 1 ? `${data.names[t]} ` : ""}${said(values, t)}`);
      const facts = `${same}${likely(chance)}, log q ${short(logq)}, predicts ${found.join(", ")}`;
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
    const same = doc.f == null ? "" : `; this rationale has ${likely(doc.f)}`;
    return make(
      "article",
      { class: "doc", "aria-labelledby": `doc-${i}` },
      make(
        "header",
        {},
        make("h3", { id: `doc-${i}` }, make("a", { href: `#${address("doc", doc.i)}` }, doc.i)),
        make("p", {}, `${kept} of ${plural(doc.p.length, "word")} kept${share}${same}`),
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
    const size = perPage();
    const chosen = shown.slice(page * size, (page + 1) * size);
    fill(chosen);
    const some = shown.length === all.length ? "" : ` found, of ${all.length.toLocaleString("en")}`;
    const range = chosen.length ? `: ${page * size + 1} to ${page * size + chosen.length} shown` : "";
    at("status").textContent = `${plural(shown.length, "document")}${some}${range}`;
    for (const nav of document.querySelectorAll("[data-pages]")) {
      nav.hidden = pages() === 1;
      const [back, place, on] = nav.children;
      back.disabled = page === 0;
      on.disabled = page === pages() - 1;
      place.textContent = `Page ${page + 1} of ${pages()}`;
    }
    narrow();
    note();
  }
  // What only some documents are shown for, with the way back.
  function narrow() {
    at("narrowed").hidden = alone === null && phrase === null;
    if (at("narrowed").hidden) return;
    const words = phrase === null ? "" : data.phrases[phrase][0];
    const side = phrase === null ? "" : phrase.slice(0, -words.length - 1); // a word may hold a colon, and so may a class
    const what = alone !== null ? `The document ${alone} alone` : `Documents whose rationale holds \u201c${words}\u201d`;
    const where = side ? ` (${side.replace(":", ", ")})` : "";
    const back = make("button", { type: "button" }, "Show all documents");
    back.addEventListener("click", () => {
      alone = phrase = null;
      choose();
      at("search").focus();
    });
    at("narrowed").replaceChildren(make("span", {}, what + where), back);
  }

  // The address says what is shown, so that it can be sent to others.
  const usual = { q: "", in: "", sort: "order", show: "all", size: "20", page: "1", phrase: "", doc: "" };
  const address = (name, value) => `${name}=${encodeURIComponent(value)}`;
  function note() {
    const now = { q: ask.search.value.trim(), in: ask.within.checked ? "kept" : "", sort: ask.sort.value,
      show: ask.only.value, size: ask.size.value, page: String(page + 1), phrase: phrase || "", doc: alone || "" };
    const parts = Object.keys(usual).filter((name) => now[name] !== usual[name]);
    const wanted = parts.map((name) => address(name, now[name])).join("&");
    if (wanted === location.hash.slice(1) || (!wanted && !location.hash.includes("="))) return;
    try {
      history.replaceState(null, "", wanted ? `#${wanted}` : location.href.split("#")[0]);
    } catch (problem) {
      // a frame that may not: the page works without
    }
  }
  // Shows what the address says; false where it names a part of the page, or nothing.
  function follow() {
    const raw = location.hash.slice(1);
    if (!raw.includes("=")) return false;
    const given = { ...usual, ...Object.fromEntries(new URLSearchParams(raw.replace(/\+/g, "%2B"))) };
    const set = (field, value, name) => {
      field.value = value;
      if (field.selectedIndex < 0) field.value = usual[name];
    };
    ask.search.value = given.q;
    ask.within.checked = given.in === "kept";
    set(ask.sort, given.sort, "sort");
    set(ask.only, given.show, "show");
    set(ask.size, given.size, "size");
    alone = all.some((doc) => doc.i === given.doc) ? given.doc : null;
    phrase = Object.hasOwn(data.phrases, given.phrase) ? given.phrase : null;
    choose(Math.max(0, (parseInt(given.page, 10) || 1) - 1));
    at("documents").focus({ preventScroll: true });
    at(at("narrowed").hidden ? "status" : "narrowed").scrollIntoView();
    return true;
  }
  function reveal() {
    if (follow()) return;
    if (!location.hash && (alone !== null || phrase !== null)) {
      alone = phrase = null; // the reader went back
      choose();
    }
    const part = document.getElementById(location.hash.slice(1));
    const fold = part && part.closest("details:not([open])");
    if (fold) {
      fold.open = true;
      part.scrollIntoView();
    }
  }
  addEventListener("hashchange", reveal);

  // The documents that are found, for a spreadsheet.
  function table() {
    const cell = (value) => {
      // A text that begins like a formula must not be one.
      const plain = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : value == null ? "" : String(value);
      return /[",\n\r]/.test(plain) ? `"${plain.replace(/"/g, '""')}"` : plain;
    };
    const each = (make_) => targets.flatMap((t) => make_(t, data.names.length > 1 ? ` ${data.names[t]}` : ""));
    const ends = rated && all.some((doc) => doc.n);
    const head = ["id", "text", ...each((t, name) => [`prediction${name}`, ...(rated ? [] : [`probability${name}`]),
      ...(ends ? [`low${name}`, `high${name}`] : []), `truth${name}`, ...(data.own ? [`rationale${name}`] : [])]),
    "rationale", "kept share"];
    const rows = shown.map((doc) => [doc.i, doc.t, ...each((t) => {
      const label = rated ? 0 : best(doc.v, t);
      const actual = truth(doc, t);
      return [rated ? doc.v[t] : data.classes[label], ...(rated ? [] : [odds(doc.v, t)[label]]),
        ...(ends ? [doc.n && doc.n[2 * t], doc.n && doc.n[2 * t + 1]] : []),
        actual == null || rated ? actual : data.classes[actual],
        ...(data.own ? [doc.m ? snippets(doc, doc.m[t][0]) : ""] : [])];
    }), doc.k.length ? snippets(doc, doc.k) : "", doc.p.length ? Number((counted(doc.k) / doc.p.length).toFixed(4)) : ""]);
    return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  at("download").addEventListener("click", () => {
    const blob = new Blob(["\ufeff", table()], { type: "text/csv" });
    const link = make("a", { download: "documents.csv" });
    link.href = URL.createObjectURL(blob);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

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
    waiting = setTimeout(() => {
      alone = phrase = null;
      choose();
    }, 150);
  });
  for (const name of ["within", "sort", "only", "size"]) ask[name].addEventListener("change", () => choose());
  at("numbers").addEventListener("change", (event) => {
    at("list").classList.toggle("with-numbers", event.target.checked);
  });
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("controls").hidden = false;
  if (matchMedia("(max-width: 34rem)").matches) {
    for (const block of document.querySelectorAll("details[data-wide]")) block.open = false;
  }

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
  if (!follow()) {
    choose();
    reveal();
  }
})();
