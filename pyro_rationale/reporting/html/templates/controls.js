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
  for (const button of document.getElementsByName("marks")) {
    button.addEventListener("change", () => {
      marks = button.value === "" ? null : Number(button.value);
      remark();
      note();
    });
  }
  for (const bar of document.querySelectorAll(".marks")) bar.hidden = false;

  // On paper all rationales are open, and afterwards as before; figures are as the reader left them.
  let closed = [];
  addEventListener("beforeprint", () => {
    more(rest.length);
    closed = [...document.querySelectorAll(".doc details:not([open]), .key:not([open])")];
    for (const block of closed) block.open = true;
  });
  addEventListener("afterprint", () => {
    for (const block of closed) block.open = false;
  });
  if (!follow()) {
    choose();
    reveal();
  }
