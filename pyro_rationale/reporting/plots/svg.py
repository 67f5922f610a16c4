"""Figures as SVG for the report: small, the same bytes every time, in colours that the page chooses."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pyro_rationale.errors import harmless
from pyro_rationale.optional import optional
from pyro_rationale.reporting.plots.files import new_figure
from pyro_rationale.reporting.plots.style import GOLD, INK, ON_FILL, PALETTE, POSTERIOR, PRIOR, REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 380, 250
PARAMETERS: dict[str, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,  # as in style.css
    "svg.fonttype": "none",
    "svg.hashsalt": "pyro_rationale",
    "text.parse_math": False,
}
# Variables of style.css, which decides how these colours look in light, in dark and in print.
VARIABLES = {
    POSTERIOR.lower(): "--a",
    PRIOR.lower(): "--b",
    GOLD.lower(): "--c",
    PALETTE[1].lower(): "--d",  # its own: --b is the fourth of the palette, and both stand in one figure
    PALETTE[4].lower(): "--e",
    PALETTE[5].lower(): "--f",
    INK: "--ink",
    ON_FILL: "--ink",
    "#ffffff": "--paper",
    REFERENCE: "--control",
    "#b0b0b0": "--control",  # matplotlib's grid
}
IN_STYLE_SHEET = ("font", "stroke-linejoin", "stroke-linecap")  # the same everywhere
DEFAULTS = {("", ""), ("text-anchor", "start"), ("stroke-dashoffset", "0"), ("fill-rule", "nonzero")}
# What a group can say for its elements.
SHARED = {"clip-path", "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray"}
_NUMBER = re.compile(r"-?\d+\.\d+")
_ID = re.compile(r"#(\w+)")


def draw_svg(draw: Callable[[Axes], object], prefix: str) -> str:
    """A figure of one panel as the content of an `<svg viewBox="0 0 380 250">`.

    Matplotlib's style attributes, which the page's Content-Security-Policy forbids, become presentation attributes.

    Args:
        draw: draws into the axes that it is given.
        prefix: of the ids inside, which must differ from those of the page's other figures.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    matplotlib = optional("matplotlib", "the report needs")
    file = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # text stays text, in the fonts of the page
        matplotlib.rcdefaults()  # whatever the user's own matplotlibrc says
        matplotlib.rcParams.update(PARAMETERS)
        figure = new_figure(WIDTH / 72, HEIGHT / 72)
        draw(figure.subplots())
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(harmless(file.getvalue()))  # names may hold what XML may not
    used = _ID.findall(" ".join(value for node in root.iter() for value in node.attrib.values()))
    own = {node.get("id") for node in root.iter()}
    names = {name: f"{prefix}-{number}" for number, name in enumerate(n for n in dict.fromkeys(used) if n in own)}
    return "".join(_markup(child) for child in _clean(root, names))


def _clean(node: ElementTree.Element, names: Mapping[str, str]) -> ElementTree.Element:
    """The element with what the page needs of it; attributes that all elements of a group have move to the group."""
    node.tag = _local(node.tag)
    node.attrib = _attributes(node, names)
    children = (_clean(child, names) for child in node if _local(child.tag) not in ("metadata", "style"))
    node[:] = [child for child in children if child.get("fill") != "none" or child.get("stroke") or len(child)]
    if node.tag == "g" and len(node) > 1:
        shared = set.intersection(*(set(child.attrib.items()) for child in node))
        for name, value in sorted(shared):
            if name in SHARED and name not in node.attrib:
                node.set(name, value)
                for child in node:
                    del child.attrib[name]
    return node


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def _attributes(node: ElementTree.Element, names: Mapping[str, str]) -> dict[str, str]:
    """Attributes and styles of an element, without those that the style sheet knows or that change nothing."""
    given = {_local(name): value for name, value in node.attrib.items()}
    styles = (declaration.partition(":") for declaration in given.pop("style", "").split(";"))
    given |= {name.strip(): value.strip() for name, _, value in styles if not name.strip().startswith(IN_STYLE_SHEET)}
    if given.get("id") not in names:
        given.pop("id", None)
    if "rotate(-0 " in given.get("transform", ""):
        del given["transform"]
    return {name: _value(name, value, names) for name, value in given.items() if (name, value) not in DEFAULTS}


def _value(name: str, value: str, names: Mapping[str, str]) -> str:
    """A colour as a variable, an id under its new name, numbers with two decimals."""
    if name == "id":
        return names[value]
    if value in VARIABLES:
        return f"var({VARIABLES[value]})"
    if "#" in value:
        return _ID.sub(lambda match: f"#{names.get(match[1], match[1])}", value)
    value = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), " ".join(value.split()))
    return re.sub(" ?([A-Za-z]) ?", r"\1", value) if name == "d" else value


def _markup(node: ElementTree.Element) -> str:
    """The element as text; nothing of an empty group, and of one without attributes only what is in it."""
    content = escape((node.text or "").strip(), quote=False) + "".join(_markup(child) for child in node)
    if (not content and node.tag in ("g", "defs")) or (node.tag == "g" and not node.attrib):
        return content
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in node.attrib.items())
    return f"<{node.tag}{attributes}>{content}</{node.tag}>" if content else f"<{node.tag}{attributes}/>"
