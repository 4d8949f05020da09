import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.contract.codec import findings_in
from domain.credentials.first_look import may_hold_credential
from domain.credentials.scanning import AllowedPaths, Finding, credentials_in
from domain.errors import SecretRejected
from tests.support.domain.credential_corpus import harmless, named, shaped

SHAPED, NAMED, HARMLESS = shaped(), named(), harmless()
# Some shapes in many spellings, since chance decides where their dashes and digits are.
MANY = [value for seed in range(2, 40) for value in shaped(seed).values()]
MANY_NAMED = [value for seed in range(2, 40) for value in named(seed).values()]


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def paths(value: Any) -> list[str]:
    return [one.path for one in findings_in(encoded(value))]


@pytest.mark.parametrize("what", SHAPED)
def test_a_credential_is_known_by_its_shape_wherever_it_stands(what: str):
    value = SHAPED[what]

    assert paths(value) == ["$"]
    assert paths({"a": {"b": [1, {"c": value}]}}) == ["$.a.b[1].c"]
    assert paths([[[value]], "x"]) == ["$[0][0][0]"]
    assert paths({"items": [{"key": "k", "value": "v"}, {"key": "k2", "value": value}]}) == [
        "$.items[1].value"
    ]
    assert paths({value: 1, "b": value}) in (["$", "$.b"], ["$.b"])


@pytest.mark.parametrize("what", NAMED)
def test_a_credential_is_known_by_its_name(what: str):
    assert len(paths(NAMED[what])) == 1
    assert len(paths({"a": [NAMED[what]]})) == 1


def test_chance_does_not_hide_a_credential():
    assert [value for value in MANY if not paths({"a": value})] == []


def test_chance_rarely_hides_what_only_its_name_gives_away():
    # A random text may happen to have no digit between letters; no more than one in two hundred does.
    hidden = [value for value in MANY_NAMED if not paths(value)]
    assert len(hidden) <= len(MANY_NAMED) / 200


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_no_credential_is_let_through(what: str):
    assert paths(HARMLESS[what]) == []
    assert paths({"a": [HARMLESS[what]]}) == []


@pytest.mark.parametrize(
    "text",
    [
        "eaaa30f0-f46a-40b5-8a9e-cd0345f07cbe",
        "EAAA30F0-F46A-40B5-8A9E-CD0345F07CBE",
        "eaaa30f0f46a40b58a9ecd0345f07cbe",
        "order/eaaa30f0-f46a-40b5-8a9e-cd0345f07cbe-page-7",
        "313d0828-eaaa-4c80-b386-5c8d6a894c5a",
    ],
)
def test_a_uuid_is_no_credential_whatever_is_in_it(text: str):
    assert paths({"id": text}) == []


@pytest.mark.parametrize("seed", range(2, 30))
def test_chance_makes_no_credential_of_what_is_none(seed: int):
    assert {what: found for what, value in harmless(seed).items() if (found := paths(value))} == {}


@pytest.mark.parametrize("what", SHAPED)
def test_escapes_hide_nothing(what: str):
    escaped = "".join(f"\\u{ord(character):04x}" for character in SHAPED[what])

    assert findings_in(f'{{"a":"{escaped}"}}'.encode())
    assert findings_in(encoded({"a": SHAPED[what]}).replace(b"/", b"\\/"))


@pytest.mark.parametrize("what", SHAPED)
def test_what_is_not_json_is_looked_through_too(what: str):
    assert findings_in(b'{"a": "' + SHAPED[what].encode() + b'"')


@given(st.recursive(
    st.sampled_from([*SHAPED.values(), *NAMED.values(), *HARMLESS.values()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_the_first_look_passes_over_nothing_that_the_second_finds(value: Any):
    document = encoded(value)

    if any(credentials_in(msgspec.json.decode(document))):
        assert may_hold_credential(document)


@pytest.mark.parametrize(
    "text",
    [
        f"{'-' * 5}BEGIN RSA PRIVATE KEY{'-' * 5}",
        "docker login -u me:hunter2x",
        "hooks.slack.com/services/T024BE7LD/B024BE7LD/abcdefgh",
    ],
)
def test_a_credential_without_a_long_word_is_found_in_any_company(text: str):
    assert findings_in(encoded({"note": text}))


@pytest.mark.parametrize(
    "body",
    [
        {
            "id": "01a20adb1a247ae38f7287397e233a2a",
            "author": "Jane",
            "keywords": ["monkey"],
            "token_count": 3,
        },
        {
            "id": "job-01a20adb-1a24-7ae3-8f72-87397e233a2a",
            "url": "https://example.com/a",
            "mail": "me@b.com",
        },
        {"note": "The secret of authors is that a basic token and passwords are none of what keys mean"},
        {"key": "theme", "value": "dark"},
        {"id": "01a20adb-1a24-7ae3-8f72-87397e233a2a", "lease": "01a20adb-1a24-7ae3-8f72-87397e233a2b"},
        {"type": "sync", "name": "Sync acme/site", "payload": {"repository": "acme/site", "branch": "main"}},
    ],
)
def test_the_first_look_is_enough_for_common_bodies(body):
    assert not may_hold_credential(encoded(body))


@pytest.mark.parametrize("what", [*SHAPED, *NAMED])
def test_neither_a_finding_nor_its_refusal_repeats_the_credential(what: str):
    value: Any = SHAPED.get(what) or NAMED[what]
    document = {"outer": {"inner": value, **({value: 1} if isinstance(value, str) else {})}}
    findings = findings_in(encoded(document))
    with pytest.raises(SecretRejected) as caught:
        AllowedPaths().require("app_state.set", findings)

    said = encoded([caught.value.message, caught.value.hint, caught.value.details, findings]).decode()
    words = re.findall(r"[A-Za-z0-9]{12,}", encoded(value).decode())
    assert not [word for word in words if word in said and any(map(str.isdigit, word))]


def test_an_answer_stays_short_however_long_the_path_is():
    value: Any = SHAPED["jwt"]
    for _ in range(60):
        value = {"x" * 99: value}
    with pytest.raises(SecretRejected) as caught:
        AllowedPaths().require("app_state.set", findings_in(encoded(value)))

    assert len(caught.value.details["path"]) == 200


REPEATED = [
    "eyJ",
    "eyJ-",
    "a",
    "://",
    "://a:",
    "token=",
    "-----BEGIN ",
    "${env:",
    "AAAA:",
    "xoxb-",
    "Bearer ",
    "=",
    "a=",
    "?a=",
    "?a",
    "curl ",
    "login ",
    "password=",
    "host=a password=",
    "basic ",
    "%41",
    "%25",
    "\\n",
    "[",
    '{"a":',
    "dG9rZW5zIGFyZSBub3Qga2VwdCBoZXJl/",
    "-us",
    ".atlasv1.",
    "webhook.office",
    "SUAAAAAAAAAAAAAAAAAAAA-",
]


@pytest.mark.parametrize("text", [one * (80_000 // len(one)) for one in REPEATED], ids=REPEATED)
def test_no_text_makes_the_look_take_more_than_a_moment(text: str):
    # Work that grows with the square of the length would take minutes, and fail by the limit of a test.
    findings_in(encoded({"token": text, "a": [text, text]}))


# Allowed paths


def require(places: tuple[str, ...], path: str, command: str = "app_state.set") -> None:
    AllowedPaths(places).require(command, [Finding(path, "password")])


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("app_state.set:$.value", "$.value"),
        ("app_state.*:$.value.build_token", "$.value.build_token"),
        ("*.*:$.items[*].value", "$.items[12].value"),
        ("app_state.set:$.*.token", "$.value.token"),
        ('app_state.set:$.value["a.b"]', '$.value["a.b"]'),
    ],
)
def test_a_false_alarm_is_let_through_where_it_is_allowed(place: str, path: str):
    require((place,), path)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("app_state.set:$.value", "$.value.token"),
        ("app_state.set_if:$.value", "$.value"),
        ("app_state.set:$.*.token", "$.value.auth.token"),
        ("app_state.set:$.items[*]", "$.items[1].value"),
        ("*.*:$.value.to", "$.value.token"),
        ("*.*:$.value.t.ken", "$.value.token"),
    ],
)
def test_it_is_refused_anywhere_else(place: str, path: str):
    with pytest.raises(SecretRejected) as caught:
        require((place,), path)
    assert caught.value.details == {"path": path, "kind": "password"}


def test_all_of_the_findings_have_to_be_allowed():
    findings = [Finding("$.a", "password"), Finding("$.b", "password")]
    AllowedPaths(["x.y:$.a", "x.y:$.b"]).require("x.y", findings)
    with pytest.raises(SecretRejected):
        AllowedPaths(["x.y:$.a"]).require("x.y", findings)


@pytest.mark.parametrize(
    "place", ["", "$.value", "app_state.set", "app_state:$.a", "app_state.set:value", "a.b.c:$"]
)
def test_a_place_that_is_none_is_an_error(place: str):
    with pytest.raises(ValueError, match="is not a command and a path"):
        AllowedPaths([place])


@pytest.mark.parametrize("before", ["", " ", "\n\t"])
def test_json_in_a_text_is_looked_through_also_behind_white_space(before: str):
    body = {"note": before + '{"token":{"zz":["q8Zr2LxW0vT5nB7cKd3M"]}}'}
    assert may_hold_credential(msgspec.json.encode(body))
    assert [finding.path for finding in credentials_in(body)] == ["$.note"]
