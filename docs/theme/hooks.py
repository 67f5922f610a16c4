"""Pages that the build of the site makes: the options of all commands, the notebooks, and how-to pages in the menu."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

THEME = Path(__file__).parent
NOTEBOOKS = THEME.parents[1] / "notebooks"


def _of(module: str, name: str) -> Any:
    return runpy.run_path(str(THEME / module))[name]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every how-to page, those that `mkdocs.yml` names first, and every notebook."""
    parts = {name: part for each in config.nav or [] if isinstance(each, dict) for name, part in each.items()}
    guides, notebooks = parts["How to"], parts["Notebooks"]
    found = sorted(path.name for path in (THEME.parent / "how-to").glob("*.md"))
    guides.extend(f"how-to/{name}" for name in found if f"how-to/{name}" not in guides)
    notebooks.extend(f"notebooks/{path.stem}.md" for path in sorted(NOTEBOOKS.glob("*.ipynb")))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    page_of = _of("notebooks.py", "page_of")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page_of(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Append the help of every command to the page of commands, and put the table of corpora where it is to stand.

    A heading that begins with a number gets an address that does not: the theme's script takes none that does.
    """
    markdown = re.sub(r"^(##+ (\d+)\. [^\n{]*)$", r"\1 { #part-\2 }", markdown, flags=re.MULTILINE)
    if page.file.src_uri == "reference/commands.md":
        return markdown + "".join(_of("commands.py", "sections")())
    if page.file.src_uri == "reference/formats.md":
        return markdown.replace("<!-- table of corpora -->", _of("corpora.py", "table")())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Let wide tables and code scroll by themselves, also from the keyboard."""
    html = re.sub(r"<table\b.*?</table>", r'<div class="scrolls" tabindex="0">\g<0></div>', html, flags=re.DOTALL)
    return re.sub(r"<pre>", '<pre tabindex="0">', html)


def on_post_page(output: str, **_: Any) -> str:
    """Name the bar above the page, which the theme leaves out of all landmarks."""
    return output.replace('<div class="navbar ', '<div role="navigation" aria-label="Pages" class="navbar ', 1)
