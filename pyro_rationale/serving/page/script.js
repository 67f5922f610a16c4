"use strict";
const MOST_SHARES = 6, MOST_LIKELY = 3, MOST_NAMED = 5;
const state = { text: "", struck: new Set(), whole: null, answer: null, target: -1, other: -1, focus: 0 };
const digits = (x) => (Math.abs(x) >= 999.5 ? String(Math.round(x)) : x.toPrecision(3));
const number = (x) => (Math.abs(x) < 0.0005 ? "0" : Number.isInteger(x) ? String(x) : digits(x));
const decimals = (x) => (x < 1 ? x.toFixed(3) : number(x)); // no more than three: a column of them must fit a phone
const signed = (x) => (Math.abs(x) < 0.0005 ? "0" : (x > 0 ? "+" : "−") + decimals(Math.abs(x)));
const said = (x, chance) => (typeof x === "number" ? number(x) : chance === null ? x : `${x}, ${percent(chance)}`);
// What an effect speaks for; one that is hardly any speaks for nothing.
const side = (x, least) => (Math.abs(x) < Math.max(0.0005, least) ? "" : x > 0 ? "for" : "against");

// Asking the model.

field.addEventListener("input", () => {
  state.struck.clear();
  state.focus = 0;
  schedule(PAUSE);
});

byId("clear").addEventListener("click", () => {
  field.value = "";
  state.struck.clear();
  schedule(0);
  field.focus();
});

byId("restore").addEventListener("click", () => {
  state.struck.clear();
  byId("words").querySelector('[tabindex="0"]')?.focus();
  schedule(0);
});

async function ask() {
  const text = written();
  if (!text.trim()) {
    request?.abort();
    Object.assign(state, { text, answer: null, whole: null });
    tell("");
    show();
    return;
  }
  tell("reading …");
  const answer = await post("api/predict", { text, struck: [...state.struck] });
  if (!answer) return;
  Object.assign(state, { text, answer, other: -1 });
  if (!state.struck.size) state.whole = answer;
  tell(noted(answer));
  show();
}

function noted(answer) {
  const read = answer.words.filter((word) => !word.struck), words = read.length;
  if (!words) return "no word left to read";
  const letters = Array.from(answer.text);
  const strange = read.filter((word) => !word.known).map((word) => letters.slice(word.start, word.end).join(""));
  const unknown = strange.length ? `; not known: ${listed([...new Set(strange)], MOST_NAMED)}` : "";
  const unread = answer.unread ? `; ${answer.unread} characters at the end are not read` : "";
  return `${answer.doubt || `${answer.known} of ${words} words known to the model`}${unknown}${unread}`;
}

function listed(words, most) {
  const more = words.length > most ? ` and ${words.length - most} more` : "";
  return words.slice(0, most).map((word) => `“${word}”`).join(", ") + more;
}

// Showing its answer.

function show() {
  const some = Boolean(state.answer?.targets.length);
  document.querySelector(".empty").hidden = some;
  for (const part of document.querySelectorAll(".result")) part.hidden = !state.answer?.words.length;
  byId("predictions").className = targets().length > 1 ? "several" : "";
  byId("predictions").replaceChildren(...targets().map(prediction), ...(own() ? [] : little(targets())));
  showChange();
  showTargets();
  showWords();
  byId("spans").replaceChildren(...(some ? effects(chosen()) : []));
  byId("alternatives").replaceChildren(...(some ? chosen().flatMap(alternatives) : []));
}

const targets = () => state.answer?.targets ?? [];
const chosen = () => (state.target < 0 ? targets() : targets().slice(state.target, state.target + 1));

function heading(target, tag = "h3") {
  const place = targets().indexOf(target);
  return make(tag, {}, ...(target.letter ? [letter(place), " "] : []), target.name);
}

const letter = (place) => make("span", { class: `letter t${place % 6}` }, targets()[place].letter);

const own = () => Boolean(MODEL?.own_rationales);

// Of which targets the kept words say little; runs of older versions do not know.
function little(some) {
  const words = byId("predictions").dataset;
  const names = some.filter((t) => t.information !== null && t.information < words.least).map((t) => t.name);
  if (!names.length) return [];
  return [make("p", { class: "note little" }, words.little.replace("{names}", () => names.join(", ")))];
}

function prediction(target, place) {
  const before = state.struck.size ? state.whole?.targets[place] : null;
  const value = target.label ?? number(target.value);
  const part = make("div", { class: "target" }, heading(target));
  const figure = make("p", { class: "value" }, value);
  if (before) figure.append(make("span", { class: "was" }, ` was ${before.label ?? number(before.value)}`));
  part.append(figure);
  if (target.interval) part.append(...scale(target));
  const sure = Math.round(100 * state.answer.level), several = targets().length > 1;
  const notes = [];
  // One target has room for a bar for each class or level; of several, each is a row.
  if (target.probabilities && several) notes.push(likeliest(target.probabilities));
  if (target.interval) notes.push(`${sure} %${several ? ":" : " interval"} ${number(target.interval[0])} to ${number(target.interval[1])}`);
  if (target.set?.length > 1) notes.push(`${sure} % set: ${target.set.join(", ")}`);
  notes.push(`${several ? "" : "from the "}marked words alone: ${said(target.from_rationale, target.from_rationale_probability)}`);
  if (target.probabilities && !several) part.append(shares(target.probabilities, Boolean(target.label)));
  part.append(make("p", { class: "note" }, notes.join("; ")), ...(own() ? little([target]) : []));
  return part;
}

function scale(target) {
  const range = MODEL?.targets.find((t) => t.name === target.name)?.scale;
  if (!range) return [];
  const at = (x) => `${(100 * (Math.min(Math.max(x, range[0]), range[1]) - range[0])) / (range[1] - range[0])}%`;
  const [low, high] = target.interval;
  const width = `${(100 * (high - low)) / (range[1] - range[0])}%`;
  const bar = make("i", { "--from": at(low), "--width": width });
  return [make("div", { class: "ends", "aria-hidden": "true" },
    make("span", {}, number(range[0])),
    make("div", { class: "scale" }, bar, make("b", { "--from": at(target.value) })),
    make("span", {}, number(range[1])))];
}

const byChance = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
const likeliest = (probabilities) =>
  byChance(probabilities).slice(0, MOST_LIKELY).map(([name, p]) => `${name} ${percent(p)}`).join(", ");

function shares(probabilities, sorted) {
  const rows = sorted ? byChance(probabilities).slice(0, MOST_SHARES) : Object.entries(probabilities);
  return make("ul", { class: "shares" }, ...rows.map(([name, p]) =>
    make("li", {}, make("span", {}, name), make("i", { "--width": `${100 * p}%` }), make("span", {}, percent(p)))));
}

function showChange() {
  const box = byId("changed"), struck = [...state.struck].sort((a, b) => a - b);
  box.hidden = byId("restore").hidden = !struck.length || !state.answer;
  if (box.hidden) return;
  const letters = Array.from(state.text);
  const spelt = struck.map((n) => letters.slice(state.answer.words[n].start, state.answer.words[n].end).join(""));
  const names = listed(spelt, 8);
  const changes = targets().map((target, place) => {
    const before = state.whole?.targets[place];
    if (!before) return "";
    if (target.label === null) return `${target.name} ${signed(target.value - before.value)}`;
    const change = target.probabilities[before.label] - before.probabilities[before.label];
    return `${before.label} ${signed(100 * change)} points`;
  });
  box.textContent = `Without ${names}: ${targets().length ? changes.join(", ") : "no word is left, so no prediction"}.`;
}

function showTargets() {
  const box = byId("targets");
  box.hidden = targets().length < 2;
  if (box.hidden) {
    state.target = targets().length ? 0 : -1;
    return;
  }
  if (box.querySelectorAll("input").length) return;
  const choice = (place, ...content) => {
    const input = make("input", { type: "radio", name: "target", value: place });
    input.checked = place === state.target;
    input.addEventListener("change", () => {
      Object.assign(state, { target: place, other: -1 });
      show();
    });
    return make("label", {}, input, make("span", {}, ...content));
  };
  state.target = -1;
  box.append(choice(-1, "all"), ...targets().map((t, place) => choice(place, letter(place), ` ${t.name}`)));
}

// For each word: what it is marked with, "" for nothing. Neighbours with the same mark are one run.
function marks() {
  const words = state.answer.words, made = words.map(() => ({ run: "", classes: "", sign: "", letters: [] }));
  if (state.target < 0) {
    words.forEach((_, n) => {
      const owners = targets().map((t, place) => (t.kept[n] ? place : -1)).filter((place) => place >= 0);
      if (owners.length) made[n] = { run: owners.join(), classes: owners.length === 1 ? `t${owners[0] % 6}` : "", sign: "", letters: owners };
    });
    return made;
  }
  const target = targets()[state.target];
  if (state.other >= 0) {
    target.alternatives[state.other].kept.forEach((kept, n) => { if (kept) made[n].run = "other"; });
    return made;
  }
  target.kept.forEach((kept, n) => { if (kept) made[n].run = "kept"; });
  target.spans.forEach((span, i) => {
    const classes = side(span.effect, target.least_effect), sign = { for: "+", against: "−", "": "" }[classes];
    for (const n of span.words) made[n] = { run: `span ${i}`, classes, sign, letters: [] };
  });
  return made;
}

function showWords() {
  const box = byId("words"), had = box.contains(document.activeElement);
  box.replaceChildren();
  byId("legend").replaceChildren();
  if (!state.answer) return;
  const letters = Array.from(state.text); // Python counts characters, JavaScript halves of some
  const words = state.answer.words, made = targets().length ? marks() : words.map(() => ({ run: "", letters: [] }));
  const inclusion = state.target >= 0 && targets()[state.target]?.inclusion;
  state.focus = Math.min(state.focus, Math.max(0, words.length - 1));
  let position = 0, run = "", into = box, bound = []; // a sign, which stays with the first word of its run
  words.forEach((word, n) => {
    const mark = made[n], gap = letters.slice(position, word.start).join("");
    if (mark.run !== run) {
      into = box;
      box.append(gap);
      if (mark.run) {
        into = make("mark", { class: mark.classes || null });
        for (const place of mark.letters) into.append(letter(place));
        if (mark.letters.length) into.append("\u00a0");
        box.append(into);
      }
      run = mark.run;
      bound = mark.sign ? [make("span", { class: "sign", "aria-hidden": "true" }, mark.sign)] : [];
    } else into.append(gap);
    const p = inclusion ? inclusion[n] : 0, hints = word.known ? [] : ["not known to the model"];
    if (inclusion && !word.struck) hints.push(`kept with probability ${p.toFixed(2)}`);
    const shown = make("span", {
      class: "word", role: "button", "aria-pressed": String(word.struck), tabindex: n === state.focus ? "0" : "-1",
      "data-n": n, "--p": p, title: hints.join("; ") || null,
    }, letters.slice(word.start, word.end).join(""));
    into.append(bound.length ? make("span", { class: "bound" }, ...bound, shown) : shown);
    bound = [];
    position = word.end;
  });
  box.append(state.answer.unread ? make("span", { class: "unread" }, letters.slice(position).join("")) : letters.slice(position).join(""));
  if (had) box.querySelector(`[data-n="${state.focus}"]`)?.focus();
  showLegend();
}

function showLegend() {
  const some = state.target < 0 ? [] : targets()[state.target].spans;
  const unit = state.target < 0 ? "" : targets()[state.target].unit;
  const lines = [];
  if (state.other >= 0) lines.push(["underlined: the rationale chosen below"]);
  else if (state.target < 0) lines.push(["underlined with a letter: kept for that target"]);
  else if (!targets()[state.target].kept.includes(true)) lines.push(["no word is kept: the prediction is that of a text without evidence"]);
  else lines.push(["underlined: the rationale"]);
  if (state.other < 0 && some.length) {
    const least = targets()[state.target].least_effect, sides = new Set(some.map((span) => side(span.effect, least)));
    if (sides.has("for")) lines.push([make("b", { class: "for letter t0" }, "+"), ` raises ${unit}`]);
    if (sides.has("against")) lines.push([make("b", { class: "letter t1" }, "−"), ` lowers ${unit}`]);
    if (sides.has("")) lines.push(["no sign: hardly any effect"]);
  }
  const words = state.answer.words.filter((word) => !word.struck).length, made = state.other >= 0 ? 0 : kept();
  if (made) lines.unshift([`${made} of ${words} words are marked (${percent(made / words)})`]);
  byId("legend").append(...lines.map((line) => make("li", {}, ...line)));
}

// How many words are marked in the text.
const kept = () => state.answer.words.filter((_, n) => chosen().some((target) => target.kept[n])).length;

// One table of the spans of some targets, with a heading of its own for each where there are several.
function effects(some) {
  const filled = some.filter((target) => target.spans.length), several = some.length > 1;
  const left = some.some((target) => target.kept.includes(true)) && !filled.length;
  if (!filled.length) return [make("p", { class: "note" },
    left ? "The server leaves effects out (--contributions none)." : "No word is kept.")];
  const columns = ["Words", "Effect", "If removed", "Alone", "Draws"];
  const head = make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)));
  const bodies = filled.map((target) => make("tbody", {},
    ...(several ? [make("tr", { class: "of" }, make("th", { scope: "rowgroup", colspan: columns.length }, heading(target)))] : []),
    ...target.spans.map((span) => row(span, target))));
  const caption = `Changes of ${several ? "each prediction" : some[0].unit}, and the share of the draws that keep the words.`;
  const made = make("table", {}, make("thead", {}, head), ...bodies);
  const region = { class: "table", role: "region", tabindex: "0", "aria-label": "Effects of spans" };
  return [make("p", { class: "note" }, caption), make("div", region, made)];
}

function row(span, target) {
  return make("tr", {},
    make("th", { scope: "row" }, span.text),
    make("td", { class: side(span.effect, target.least_effect) || null }, signed(span.effect)),
    make("td", {}, signed(span.removed)), make("td", {}, signed(span.alone)), make("td", {}, percent(span.share)));
}

function alternatives(target) {
  const several = chosen().length > 1;
  const top = several ? [heading(target)] : [];
  if (!target.alternatives.length) return [...top, make("p", { class: "note" }, "None.")];
  const items = target.alternatives.map((other, i) => {
    const shown = !several && state.other === i;
    const press = make("button", { type: "button", "aria-pressed": String(shown), "data-other": i,
      "aria-label": `mark the rationale with a probability of ${percent(other.probability)}` }, percent(other.probability));
    press.addEventListener("click", () => {
      state.target = targets().indexOf(target);
      state.other = shown ? -1 : i;
      const radio = document.querySelector(`#targets input[value="${state.target}"]`);
      if (radio) radio.checked = true;
      show();
      byId("alternatives").querySelector(`[data-other="${i}"]`)?.focus();
    });
    const above = other.kept.every((kept, n) => kept === target.kept[n]);
    return make("li", {}, press, make("span", {}, make("b", {}, said(other.prediction, other.prediction_probability)),
      `: ${other.text || "no word"}`, ...(above ? [make("span", { class: "note" }, " (marked above)")] : [])));
  });
  return [...top, make("ol", {}, ...items)];
}

// Striking out words: with the mouse, or with keys.

function strike(word) {
  if (written() !== state.text) return; // these words are still those of another text, and so is what they are compared with
  const n = Number(word.dataset.n);
  state.focus = n;
  if (!state.struck.delete(n)) state.struck.add(n);
  word.setAttribute("aria-pressed", String(state.struck.has(n)));
  schedule(0);
}

byId("words").addEventListener("click", (event) => {
  const word = event.target.closest(".word");
  if (!word || String(getSelection())) return; // a word that is selected is to be copied
  moveTo(Number(word.dataset.n));
  strike(word);
});

byId("words").addEventListener("keydown", (event) => {
  const word = event.target.closest(".word");
  if (!word || event.ctrlKey || event.altKey || event.metaKey) return;
  const n = Number(word.dataset.n), last = state.answer.words.length - 1;
  const to = { ArrowRight: n + 1, ArrowDown: n + 1, ArrowLeft: n - 1, ArrowUp: n - 1, Home: 0, End: last }[event.key];
  if (event.key === "Enter" || event.key === " ") strike(word);
  else if (to !== undefined) moveTo(Math.min(Math.max(to, 0), last));
  else return;
  event.preventDefault();
});

function moveTo(n) {
  const box = byId("words");
  box.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  state.focus = n;
  const word = box.querySelector(`[data-n="${n}"]`);
  word.setAttribute("tabindex", "0");
  word.focus();
}

let MODEL = null; // where scales are drawn from and to
fetch("api/model").then((reply) => reply.json()).then((model) => {
  MODEL = model;
  if (state.answer) show();
  else if (field.value) schedule(0); // what the browser has put back into the field
}).catch(() => tell("no answer from the server; is it still running?", true));
