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
  let marks = null; // the one target whose marks to show, where each has its own

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
  const little = (targets) => {
    if (!targets.length) return [];
    const names = targets.map((target) => data.names[target]).join(", ");
    return [make("p", { class: "little" }, data.little.replace("{names}", () => names))];
  };
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
  // 1 where the word's span raises the ratings it moves, or speaks for the predicted labels; -1 against; 0 where it
  // does little or targets differ, as effects.py has it.
  function sides(doc) {
    const found = new Int8Array(doc.p.length);
    (doc.c || []).forEach((changes, i) => {
      const moved = changes.filter(([effect], target) => Math.abs(effect) >= data.least[target]);
      const signs = new Set(moved.map(([effect]) => Math.sign(effect)));
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
  // Probabilities from one mask, which are not averaged, have a rule of their own.
  function best(values, target, factors = data.factors) {
    const chances = odds(values, target).map((p, i) => p * (factors ? factors[target][i] : 1));
    const most = Math.max(...chances);
    return data.per_class ? chances.indexOf(most) : chances.lastIndexOf(most);
  }
  const truth = (doc, target) => (doc.y && doc.y[target] != null ? doc.y[target] : null);
  function said(values, target, factors = data.factors) {
    if (rated) return short(values[target]);
    const label = best(values, target, factors);
    return `${data.classes[label]} (${percent(odds(values, target)[label])})`;
  }
  // true, false, or null where nobody knows.
  function holds(doc, target) {
    const actual = truth(doc, target);
    if (actual == null) return null;
    if (!rated) return best(doc.v, target) === actual;
    return doc.n ? doc.n[2 * target] <= actual && actual <= doc.n[2 * target + 1] : null;
  }

  // include choice.js

  // A document.
  function strip(doc, target) {
    const [low, high] = data.ranges[target];
    const x = (value) => 6 + (138 * (Math.min(Math.max(value, low), high) - low)) / (high - low);
    const picture = draw("svg", { class: "strip", viewBox: "0 0 150 22" });
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
    const end = (value) => make("span", { class: "end" }, short(value));
    return make("div", { class: "scale", "aria-hidden": "true" }, end(low), picture, end(high));
  }
  // A list per target, under its name if there are several; with the spans of a rationale of its own, if it has one.
  function predictions(doc) {
    const spans = own(doc);
    return targets.map((target) => {
      const badge = doc.m ? [make("b", { class: `letter t${target % 8}` }, letter(target)), " "] : [];
      const name = data.names.length > 1 ? [make("p", { class: "target" }, ...badge, data.names[target])] : [];
      const list = spans.slice(target, target + 1);
      const doubt = little((doc.m && doc.l || []).filter((one) => one === target));
      return make("div", { class: "about-target" }, ...name, prediction(doc, target), ...doubt, ...list);
    });
  }
  function prediction(doc, target) {
    const list = make("dl", { class: "prediction" });
    const add = (label, ...values) => {
      list.append(make("div", {}, make("dt", {}, label), make("dd", {}, ...values)));
    };
    add(rated ? "predicted \u25cf" : "predicted", said(doc.v, target));
    if (data.averaged) add("from these words alone", said(doc.w || doc.v, target, data.alone));
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
    const gold = flags(doc.g, doc.p.length);
    const side = sides(doc);
    const masks = (doc.m || []).map(([runs]) => flags(runs, doc.p.length));
    const chosen = masks.map((_, target) => marks === null || marks === target);
    const owners = (i) => masks.flatMap((mask, target) => (chosen[target] && mask[i] ? [target] : []));
    const kept = doc.m ? doc.p.map((_, i) => owners(i).length > 0) : flags(doc.k, doc.p.length);
    // Of several targets only kept words are shaded, for nothing would say whose the others are; of one, all are.
    const chance = (i) => {
      if (!doc.m) return doc.p[i];
      return Math.max(0, ...(marks === null ? owners(i) : [marks]).map((target) => doc.m[target][3][i]));
    };
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
    let paler = 0; // shade of the last word
    places(doc).forEach(([from, to], i) => {
      const own = owners(i);
      const p = chance(i);
      const shade = Math.floor((p + 5) / 10);
      const joined = i > 0 && kept[i] && kept[i - 1] && own.join() === before;
      add(end, from, joined ? Math.min(shade, paler) : 0, joined, i && gold[i] && gold[i - 1], 0, side[i], own, false);
      add(from, to, shade, kept[i], gold[i], p >= 5 ? p : 0, side[i], own, !joined);
      [end, before, paler] = [to, own.join(), shade];
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
      const name = `${plural(runs.length / 2, "span")}${label}${same}`;
      return make("details", {}, make("summary", {}, name), list);
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
      const found = targets.map((t) => `${data.names.length > 1 ? `${data.names[t]} ` : ""}${said(values, t, data.alone)}`);
      const facts = `${same}${likely(chance)}, log q ${short(logq)}, predicts ${found.join(", ")}`;
      list.append(make("li", { dir: "auto" }, snippets(doc, runs), make("span", { class: "note", dir: "ltr" }, facts)));
    }
    if (!doc.a && !doc.m) list.append(make("li", { dir: "auto" }, snippets(doc, doc.k)));
    const title = doc.m && !doc.a ? "marked by annotators" : plural(doc.a ? doc.a.length : 1, "rationale");
    const block = make("details", {}, make("summary", {}, title), list);
    if (doc.g) block.append(make("p", { class: "others", dir: "auto" }, `Marked by annotators: ${snippets(doc, doc.g)}`));
    return doc.m && !doc.a && !doc.g ? [] : [block];
  }
  function card(doc) {
    const i = number.get(doc);
    const kept = counted(doc.k);
    const share = doc.p.length ? ` (${percent(kept / doc.p.length)})` : "";
    const same = doc.f == null ? "" : `; this rationale has ${likely(doc.f)}`;
    const told = make("div", { class: "said-all" }, ...predictions(doc), ...(doc.m ? [] : little(doc.l || [])));
    const card = make(
      "article",
      { class: doc.m ? "doc each" : "doc", "aria-labelledby": `doc-${i}` },
      make(
        "header",
        {},
        make("h3", { id: `doc-${i}` }, make("a", { href: `#${address("doc", doc.i)}` }, doc.i)),
        make("p", {}, `${kept} of ${plural(doc.p.length, "word")} kept${share}${same}`),
      ),
      ...(doc.m ? [text(doc), told] : [told, text(doc)]), // many targets need the whole width, below the text
      make("div", { class: "more" }, ...effects(doc), ...others(doc)),
    );
    drawn.set(card, doc);
    return card;
  }
  const drawn = new WeakMap(); // the document of each article
  // Other marks in the texts that are shown; folds stay as they are.
  function remark() {
    for (const card of at("list").children) card.querySelector(".text").replaceWith(text(drawn.get(card)));
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
  // include address.js

  // include download.js

  // include controls.js
})();
