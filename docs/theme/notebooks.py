"""A notebook as a page of the site: its text, its code, and its stored outputs with rationales highlighted."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEPT, GOLD = re.compile(r"\[([^\[\]]+)\]"), re.compile(r"\{([^{}]*)\}")


def page_of(path: Path) -> str:
    """Markdown of a notebook."""
    return "\n\n".join(_parts(json.loads(path.read_text(encoding="utf-8"))["cells"])) + "\n"


def _parts(cells: list[dict[str, Any]]) -> Iterator[str]:
    heading = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = next((line.lstrip("# ") for line in source.splitlines() if line.startswith("#")), heading)
            yield source.replace("](../docs/", "](../")  # where the page of the site stands
        elif cell["cell_type"] == "code":
            yield f"```python\n{source}\n```"
            for output in cell["outputs"]:
                yield _shown(output, heading, marks="rationale(" in source)


def _shown(output: dict[str, Any], heading: str, marks: bool) -> str:
    """An output in the richest form that a page can hold; `marks`: brackets and braces in it mark words."""
    data = output.get("data", {})
    if "image/png" in data:
        source = f"data:image/png;base64,{_text(data['image/png'])}"
        return f'<img class="output" alt="Figure: {html.escape(heading)}" src="{source}">'
    if "text/html" in data and not _text(data["text/html"]).startswith("<pre"):
        return f'<div class="output">{_one_block(_text(data["text/html"]))}</div>'
    text = html.escape(_text(output.get("text") or data.get("text/plain", "")).rstrip(), quote=False)
    if marks:
        text = GOLD.sub(r"<u>\1</u>", KEPT.sub(r"<mark>\1</mark>", text))
    return f'<pre class="output{" prose" if marks else ""}" tabindex="0">{_one_block(text)}</pre>' if text else ""


def _text(value: str | list[str]) -> str:
    return "".join(value).strip("\n")


def _one_block(text: str) -> str:
    """Without empty lines, at which Markdown would end a block of HTML."""
    return re.sub(r"\n(?=\s*\n)", "\n&#8203;", text)
