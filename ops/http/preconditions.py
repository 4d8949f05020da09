"""ETags and preconditions (RFC 9110, 8.8.3 and 13): the version of a row is its tag."""

from starlette.datastructures import Headers

from domain.errors import Invalid


def tag_of(version: int) -> str:
    """The ETag of a row at a version."""
    return f'"{version}"'


def expected_version(headers: Headers) -> str | None:
    """The version that a command expects: that of `If-Match`, or 0 with `If-None-Match: *`.

    Raises:
        Invalid: the headers are malformed, or both are there.
    """
    match, no_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and no_match is not None:
        raise Invalid("either If-Match or If-None-Match", path="If-Match")
    if no_match is not None:
        if no_match.strip() != "*":
            raise Invalid("a command has If-None-Match: * or none", path="If-None-Match")
        return "0"
    if match is None:
        return None
    tag = match.strip()
    if len(tag) < 3 or tag[0] != '"' or tag[-1] != '"' or not tag[1:-1].isdigit():
        raise Invalid('it is one version in quotes, as the ETag was: "3"', path="If-Match")
    return tag[1:-1]


def is_known(headers: Headers, tag: str) -> bool:
    """Whether the caller has the version with this ETag already."""
    said = headers.get("if-none-match")
    if said is None:
        return False
    # A weak comparison, as the standard asks for If-None-Match (RFC 9110, 13.1.2).
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in said.split(","))
