"use strict";
const state = { text: "", answer: null };

field.addEventListener("input", () => schedule(PAUSE));
byId("clear").addEventListener("click", () => {
  field.value = "";
  schedule(0);
  field.focus();
});

async function ask() {
  const text = written();
  if (!text.trim()) {
    request?.abort();
    Object.assign(state, { text, answer: null });
    tell("");
    show();
    return;
  }
  tell("searching …");
  const answer = await post("api/search", { text });
  if (!answer) return;
  Object.assign(state, { text, answer });
  const { words, words_kept: kept, doubt } = answer.query;
  tell(words ? `${kept} of ${words} words count${doubt && `; ${doubt}`}` : "no word to search for");
  show();
}

// A text with its kept stretches marked. Python counts characters, JavaScript halves of some.
function marked(found) {
  const letters = Array.from(found.text), parts = [];
  let position = 0;
  for (const [start, end] of found.kept) {
    parts.push(letters.slice(position, start).join(""), make("mark", {}, letters.slice(start, end).join("")));
    position = end;
  }
  return [...parts, letters.slice(position).join("")];
}

function hit(found) {
  const facts = ` score ${found.score.toFixed(2)}, probability ${percent(found.probability)}`;
  return make("li", {},
    make("p", {}, make("b", {}, `${found.rank}. ${found.id}`), make("span", { class: "note" }, facts)),
    make("p", { class: "passage", dir: "auto" }, ...marked(found)));
}

function show() {
  const some = Boolean(state.answer?.hits.length);
  for (const id of ["asked", "found"]) byId(id).parentElement.hidden = !some;
  byId("question").replaceChildren(...(some ? marked(state.answer.query) : []));
  byId("hits").replaceChildren(...(some ? state.answer.hits.map(hit) : []));
}

// What a browser kept in the field from before.
if (field.value) schedule(0);
