r"""A first look at JSON, for hints of credentials: one pass over it, which is all that most bodies need.

The engine that matches the patterns of schemas searches for all hints at once: it reads each byte once,
however many expressions there are. They are matched against the encoded JSON, and may report a credential
where there is none, but do not miss one:

- the marks of shapes (`domain.credentials.shapes`);
- words that name a credential, where a name ends (`"github_token": …`, `token=…`, `<password>…`), and those
  that stand in front of one (`Bearer …`); `author` or "the token count" is neither;
- URLs with a password, command lines with one, and references, which could hide a word;
- other spellings: `\u0041`, `%41`, Base64, hexadecimal.
"""

import re
from functools import cache

import jsonschema_rs

from domain.credentials.shapes import INNER_MARKS, MARKS
from domain.credentials.wrappings import LONG_PIECE, pieces_of, plainly

_SPACE = r"[ \t\n\r\f\v]"
# No letter follows the last word of a name up to the end of the name.
_END_OF_NAME = r'[sS]?[^a-zA-Z":=>\\%]*[":=>\\%]'
_VALUE = rf"{_SPACE}{{1,3}}[0-9A-Za-z_.~+/=-]{{16}}"
# The last three letters of the words that make a credential of a "key": api, access, secret, private, …
_OWNERS_OF_KEYS = "api|ess|ret|ate|ing|ion|ter|red|unt|uth"
_HINTS = (
    rf"(?i:token|secret|passw(?:or)?d|passphrase|pwd|auth|authorization|credential|bearer){_END_OF_NAME}",
    rf'(?:(?i:{_OWNERS_OF_KEYS})|[^a-zA-Z"]|\\[nrtbf])(?i:key){_END_OF_NAME}',
    rf"(?i:token|bearer|bot|apikey|api-key|oauth|ssws|geniekey|splunk|digest){_VALUE}",
    rf"(?i:basic)(?:\\|{_SPACE}{{1,3}}[A-Za-z0-9+/]{{8}})",
    r'://[^ \t\n\r\f\v/"@]*@',
    "curl ",
    rf"login(?s:.*)(?:-u|--user|password)|-u(?:ser)?(?:{_SPACE}|[=\\])(?s:.*)login",
    r"\\u|%[0-9a-fA-F]{2}|\$\{",
)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# The most bytes of a compiled expression: one has some 300 alternatives, built once, in 10 ms.
_MAXIMUM_BYTES = 20_000_000


def may_hold_credential(document: bytes) -> bool:
    """Whether a closer look at some JSON is needed; less than a microsecond for a small body.

    It is true wherever `credentials_in` would find something, and now and then elsewhere.
    """
    text = document.decode("utf-8", "replace")
    if _may_hold_credential(text, document):
        return True
    if "\\" not in text:
        return False
    plain = plainly(text)
    return _may_hold_credential(plain, plain.encode())


def _may_hold_credential(text: str, content: bytes) -> bool:
    if _hints().is_valid(text):
        return True
    # Encodings are slow to search for, since each character leads the engine to a new state: texts without a
    # long piece are passed over.
    return pieces_of(content).find(LONG_PIECE) >= 0 and _codes().is_valid(text)


@cache
def _hints() -> jsonschema_rs.Validator:
    return _finding(
        f"(?:^|[^a-zA-Z0-9])(?i:{'|'.join(MARKS)})",
        f"(?i:{'|'.join(map(re.escape, INNER_MARKS))})",
        *_HINTS,
    )


@cache
def _codes() -> jsonschema_rs.Validator:
    """Matches 18 characters of ASCII, whose highest bit is 0, as Base64 or hexadecimal."""
    signs = [*_BASE64, "+-", "/_"]
    quad = "".join(
        f"[{re.escape(''.join(sign for value, sign in enumerate(signs) if not value & highest))}]"
        for highest in (0b100000, 0b001000, 0b000010, 0)
    )
    return _finding(f"(?:{quad}){{6}}", "(?:[2-7][0-9A-Fa-f]|0[9AaDd]){18}")


def _finding(*expressions: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        {"pattern": "|".join(expressions)},
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_MAXIMUM_BYTES),
    )
