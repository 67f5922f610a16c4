"""Docstrings say :class:`name`, as Sphinx does; Markdown, which the site is made of, says `name`."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod|ref):`~?([^`]+)`")
BLOCK = re.compile(r"::[ \t]*$", flags=re.MULTILINE)


class Roles(Extension):
    """Rewrites the docstring of everything that is loaded."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = BLOCK.sub(":", ROLE.sub(r"`\1`", obj.docstring.value)).replace("\n:\n", "\n\n")
