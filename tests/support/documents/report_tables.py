"""The tables of a report's page: `Tables`."""

from html.parser import HTMLParser
from typing import Any


class Tables(HTMLParser):
    """The tables of a page by their captions, each cell by its value: unrounded, times in ISO 8601."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[Any]]] = {}
        self._caption = ""
        self._inside: str | None = None
        self._value: str | None = None
        self._text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("caption", "th", "td"):
            self._inside, self._text, self._value = tag, "", None
        elif tag == "tr" and self._caption:
            self.tables[self._caption].append([])
        elif tag in ("data", "time") and self._inside == "td":
            self._value = dict(attributes)["value" if tag == "data" else "datetime"]

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self._caption = self._text
            assert self._caption not in self.tables
            self.tables[self._caption] = []
        elif tag in ("th", "td"):
            self.tables[self._caption][-1].append(self._text if self._value is None else self._value)
            self._inside = None
        elif tag == "table":
            self._caption = ""

    def rows(self, caption: str) -> list[list[str]]:
        """The rows of a table, without their head."""
        return self.tables[caption][1:]
