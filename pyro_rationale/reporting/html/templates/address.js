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
  const usual = { q: "", in: "", sort: "order", show: "all", size: "20", page: "1", phrase: "", doc: "", marks: "" };
  const address = (name, value) => `${name}=${encodeURIComponent(value)}`;
  function note() {
    const now = { q: ask.search.value.trim(), in: ask.within.checked ? "kept" : "", sort: ask.sort.value,
      show: ask.only.value, size: ask.size.value, page: String(page + 1), phrase: phrase || "", doc: alone || "",
      marks: marks === null ? "" : letter(marks) };
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
    marks = data.own ? (targets.find((target) => letter(target) === given.marks) ?? null) : null;
    for (const button of document.getElementsByName("marks")) button.checked = button.value === String(marks ?? "");
    // A choice that was sent is in view, so that nobody wonders where the other documents are.
    if (["in", "sort", "show", "size"].some((name) => given[name] !== usual[name])) at("filters").open = true;
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
