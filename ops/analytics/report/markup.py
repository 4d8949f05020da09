"""HTML and SVG as values: the content of an element is escaped, unless it is markup itself."""

from collections.abc import Sequence

# The escaping that Jinja uses, which makes the console's pages.
from markupsafe import Markup, escape

_VOID = frozenset({"meta", "link"})


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element. `class_` is the attribute `class`, `stroke_width` is `stroke-width`; None is left out."""
    written = "".join(
        f' {key.strip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _VOID else f"{joined(*content)}</{name}>"
    return Markup(f"<{name}{written}>{end}")


def joined(*content: object) -> Markup:
    """Texts, numbers and markup, one after the other; None is left out."""
    return Markup("".join(_text(one) for one in content if one is not None))


def named(text: str) -> Markup:
    """A name that a user gave, isolated so that right-to-left letters do not reverse the text beside it."""
    return element("bdi", text)


def listed(names: Sequence[str], most: int) -> Markup:
    """Names with commas between them, at most `most`, and the number of the others."""
    shown = [joined(", " if place else None, named(name)) for place, name in enumerate(names[:most])]
    return joined(*shown, f" and {len(names) - most} more" if len(names) > most else None)


def shortened(text: str, most: int) -> str:
    """A text cut to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(value: object) -> str:
    # Numbers are in pixels: a tenth of one cannot be seen.
    return escape(f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value)
