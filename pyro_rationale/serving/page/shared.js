"use strict";
// What both pages do: ask while one writes, and say how it goes. A page defines `ask` and `state` in a script of its own.
// Texts, names and labels come from strangers: they enter a page as text nodes only.

const PAUSE = 250; // milliseconds without a key, before what was written is read
const byId = (id) => document.getElementById(id);
const field = byId("text"), line = byId("status");
const percent = (x) => { // as `in_percent` of Python
  const p = 100 * x;
  if (p > 0 && p < 0.1) return "<0.1 %";
  if (p > 99.9 && p < 100) return ">99.9 %";
  return `${p.toFixed((p >= 0.95 && p < 99.05) || p <= 0 || p >= 100 ? 0 : 1)} %`;
};
let timer = 0, request = null;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function tell(words, problem = false) {
  line.textContent = words;
  line.classList.toggle("problem", problem);
}

function schedule(pause) {
  clearTimeout(timer);
  timer = setTimeout(ask, pause);
}

const written = () => (field.value.toWellFormed ? field.value.toWellFormed() : field.value);

// The answer of the server; null where another question came in between, or the server is busy and is asked again.
async function post(path, body) {
  request?.abort();
  const mine = (request = new AbortController());
  try {
    const reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: mine.signal,
    });
    if (reply.status === 429 || reply.status === 503) {
      const seconds = Number(reply.headers.get("Retry-After")) || 2;
      tell(`the server is busy; trying again in ${seconds} s`);
      schedule(1000 * seconds);
      return null;
    }
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.detail);
    return mine.signal.aborted ? null : answer;
  } catch (problem) {
    if (problem.name === "AbortError") return null;
    tell(problem instanceof TypeError ? "no answer from the server; is it still running?" : problem.message, true);
    return null;
  }
}
