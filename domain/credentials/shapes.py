r"""The shapes of credentials: those that their issuers gave them, and random text.

The shapes are those that issuers document and scanners look for (GitHub's list of supported secrets,
gitleaks, detect-secrets, trufflehog). None takes longer than the text is long: each repetition has a bound,
or cannot begin in the middle of a run of the same characters.
"""

import re

# A reference to a credential, which its reader looks up, is none itself.
REFERENCE = re.compile(r"\$\{env:[A-Za-z_][A-Za-z0-9_]{0,127}\}")

# The left edge of a shape: it is not in the middle of a longer word.
_START = r"(?<![A-Za-z0-9])"

# The shapes of each kind, and before them plain texts, one of which each shape contains. Finding a plain text
# costs nearly nothing, an expression of many branches half a microsecond for two characters. Answers name the
# kinds.
_SHAPES: dict[str, tuple[tuple[str, ...], str]] = {
    "github_token": (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        _START + r"(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{36})",
    ),
    "gitlab_token": (
        (
            *("glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-"),
            *("glagent-", "glwt-", "glsoat-", "glffct-", "GR1348941"),
        ),
        _START
        + r"(?:gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[\w-]{20}|GR1348941[\w-]{20})",
    ),
    "atlassian_token": (
        ("ATATT", "ATCTT", "ATBB"),
        _START + r"(?:AT[AC]TT[\w=-]{24}|ATBB[A-Za-z0-9]{28})",
    ),
    "slack_token": (
        ("xox", "xapp-"),
        _START + r"(?:xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{16}|xapp-\d-[A-Za-z0-9-]{16})",
    ),
    "webhook_address": (
        ("hooks.slack.com/", "/api/webhooks/", "webhook.office.com/"),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20}"
        r"|discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20}"
        r"|webhook\.office\.com/webhookb2/[\w@/-]{36}",
    ),
    "aws_access_key": (
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        _START + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    ),
    "google_key": (
        ("AIza", "ya29.", "GOCSPX-"),
        _START + r"(?:AIza[\w-]{35}(?![\w-])|ya29\.[\w-]{20}|GOCSPX-[\w-]{28})",
    ),
    "private_key": (
        ("PRIVATE KEY", "PuTTY-User-Key-File-", "AGE-SECRET-KEY-1"),
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"|PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1[A-Z0-9]{58}",
    ),
    "json_web_token": (("eyJ",), r"(?<![\w-])eyJ[\w-]{8,4096}\.eyJ[\w-]{8}"),
    "url_with_password": (
        ("://",),
        # A mask, as in `user:***@host`, is no password, nor is a place to put one.
        r"://[^\s/?#:@\"'<>]{0,256}:(?![*x]{1,64}@)[^\s/?#@\"'<>{}]{1,256}@[^\s/]",
    ),
    "stripe_key": (
        ("k_live_", "k_test_", "k_prod_", "whsec_"),
        _START + r"(?:[sr]k_(?:live|test|prod)_[A-Za-z0-9]{16}|whsec_[A-Za-z0-9+/]{24})",
    ),
    "model_provider_key": (
        ("sk-", "hf_"),
        _START + r"(?:sk-(?:ant-|proj-|svcacct-|admin-|or-v1-)[\w-]{20}|sk-[A-Za-z0-9]{20}T3BlbkFJ"
        r"|hf_[A-Za-z]{34})",
    ),
    "package_registry_token": (
        ("npm_", "pypi-AgE", "dckr_"),
        _START + r"(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{30}|dckr_(?:pat|oat)_[\w-]{20})",
    ),
    "platform_token": (
        ("_v1_", "dapi", "hvs.", "hvb.", "glsa_", "glc_", "shp", "lin_api_", "figd_", "SG."),
        _START + r"(?:do[opr]_v1_[a-f0-9]{64}|dapi[a-f0-9]{32}|hv[sb]\.[\w-]{24}|gl(?:sa|c)_[\w+/=]{32}"
        r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{40}|figd_[\w-]{40}"
        r"|SG\.[\w-]{20,32}\.[\w-]{20})",
    ),
    "storage_key": (
        ("AccountKey=", "SharedAccessKey="),
        r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/%]{40}",
    ),
    "telegram_token": ((":AA",), _START + r"\d{8,10}:AA[\w-]{33}(?![\w-])"),
}
_BY_BEGINNING = tuple(
    (beginning, kind, re.compile(shape))
    for kind, (beginnings, shape) in _SHAPES.items()
    for beginning in beginnings
)
# The length of the shortest credential, except for the password in a URL.
_SHORTEST = 20

_SEPARATOR = re.compile(r"[-_.:/+=~]+")
_TOKEN = re.compile(r"[\w.~+/=:!@#$%^&*-]{10,}", re.ASCII)
_DIGIT_THEN_LETTER = re.compile(r"[0-9][A-Za-z]")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
# The average length of words from which on a text is no random one: random letters and digits fall into words
# of two or three.
_SHORTEST_WORDS = 3.6
_PLACE = re.compile(r"[a-z][a-z0-9+.-]{0,30}://|~?/|\.\.?/|[A-Z]:\\", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"[<{\[(%].*[>}\])%]|(.)\1*", re.DOTALL)
# How much of a text is looked at: a longer one is known by its beginning.
_LOOKED_AT = 256


def kind_of_shape(text: str) -> str | None:
    """The kind of a credential that the text is or contains, by its shape alone."""
    if len(text) < _SHORTEST and "://" not in text:
        return None
    for beginning, kind, shape in _BY_BEGINNING:
        if beginning in text and shape.search(text):
            return kind
    return None


def is_random(text: str) -> bool:
    """Whether a text looks as if a machine had drawn it: no words, no path, no address.

    One part of it, between `-`, `_`, `.` and the like, mixes digits among letters, or changes between upper
    and lower case more often than words do.
    """
    text = text[:_LOOKED_AT]
    if not _TOKEN.fullmatch(text):
        return False
    parts = _SEPARATOR.split(text)
    if _PLACE.match(text) and not any(len(part) >= 16 and _is_drawn(part) for part in parts):
        return False
    return any(map(_is_drawn, parts))


def _is_drawn(part: str) -> bool:
    if len(part) < 8 or len(set(part)) < 5:
        return False
    digits = sum(map(str.isdigit, part))
    if digits >= 2 and _DIGIT_THEN_LETTER.search(part):
        return True
    return len(part) >= 16 and len(_WORD.findall(part)) * _SHORTEST_WORDS >= len(part)


def is_password(text: str) -> bool:
    """Whether a text under the name of a password is more than a word: 6 characters and not letters alone."""
    return (
        len(text) >= 6
        and not any(map(str.isspace, text))
        and any(map(str.isalpha, text))
        and not text.replace("-", "").replace("_", "").replace(".", "").isalpha()
        and not _PLACEHOLDER.fullmatch(text)
        and not _PLACE.match(text)
    )
