"""Forms that pages send: `Form`, `read_form`."""

from collections.abc import Container, Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from domain.errors import Invalid

FORM = "application/x-www-form-urlencoded"
# More than any form of the console has.
MAXIMUM_FIELDS = 1_100


class Form(msgspec.Struct, frozen=True):
    """The fields of a form; of a field that was sent several times, the last value counts."""

    fields: Mapping[str, str]

    def said(self, name: str, default: str = "") -> str:
        """A field as it was sent."""
        return self.fields.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """A field, without space around it."""
        return self.said(name, default).strip()

    def given(self, *names: str) -> dict[str, str]:
        """The fields among these that are not empty."""
        return {name: self.text(name) for name in names if self.has(name)}

    def verb(self, allowed: Container[str], problem: str) -> str:
        """The field `verb`, which says what to do.

        Raises:
            Invalid: the verb is not allowed; `problem` is the message.
        """
        verb = self.text("verb")
        if verb not in allowed:
            raise Invalid(problem, path="verb")
        return verb

    def has(self, name: str) -> bool:
        """Whether a field is there and not empty."""
        return bool(self.text(name))


def is_form(request: Request) -> bool:
    """Whether a request says that its body is a form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def read_form(request: Request) -> Form:
    """The form in a request's body; an empty one if the body is no form or has too many fields."""
    if not is_form(request):
        return Form({})
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return Form(dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS)))
    except ValueError:
        return Form({})
