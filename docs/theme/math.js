// KaTeX comes with the site (docs/theme/katex, MIT licence); arithmatex leaves \( \) and \[ \] in the pages.
document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll(".arithmatex")) renderMathInElement(part);
  for (const wide of document.querySelectorAll(".katex-display")) wide.tabIndex = 0; // it may scroll
});
