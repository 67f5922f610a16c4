// KaTeX comes with the site (docs/theme/katex, MIT licence); arithmatex leaves \( \) and \[ \] in the pages.
document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll(".arithmatex")) renderMathInElement(part);
  // It may scroll, also from the keyboard.
  for (const wide of document.querySelectorAll(".katex-display")) wide.tabIndex = 0;
});
