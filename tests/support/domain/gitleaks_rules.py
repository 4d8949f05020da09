"""Gitleaks' rules as a module of ours: `make credential-rules GITLEAKS=<a clone of its repository>`.

It takes the rules of values that have a shape of their own. It leaves out rules that need the place of a
value to tell it from a hash or an id (a provider's name before it, a file's path), rules for the syntax of a
shell or of YAML, rules for public values, and rules that shapes of ours cover in more spellings.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

# Rules of gitleaks that need a certain syntax, or find too little; rules of ours find these in any text.
LEFT_OUT = {
    "curl-auth-header", "curl-auth-user", "kubernetes-secret-yaml", "nuget-config-password",
    "freemius-secret-key", "private-key", "jwt", "jwt-base64", "sidekiq-sensitive-url", "sidekiq-secret",
    "facebook-access-token", "generic-api-key", "hashicorp-tf-password",
    # These keys are made to be published.
    "flutterwave-public-key", "mailgun-pub-key", "lob-pub-api-key", "mapbox-api-token",
}  # fmt: skip
# Rules that need the provider's name before a value, which has a shape of its own: only the shape is taken.
SPEAK_FOR_THEMSELVES = {
    "atlassian-api-token", "defined-networking-api-token", "dropbox-short-lived-api-token",
    "gocardless-api-token",
    "lob-api-key", "mailchimp-api-key", "mailgun-private-api-token", "new-relic-browser-api-token",
    "new-relic-insert-key", "new-relic-user-api-key", "plaid-api-token", "twitter-bearer-token",
    "typeform-api-token", "yandex-access-token", "yandex-api-key",
}  # fmt: skip
# The beginning of a value, in lower case, for rules whose keywords in gitleaks are words around it, or too
# short to be told from common words; behind a star: a mark from the middle of the value.
MARKS = {
    "airtable-personnal-access-token": [r"pat[a-z0-9]{14}\."],
    "atlassian-api-token": ["atatt3"],
    "authress-service-client-access-key": [
        rf"{start}_[a-z0-9]{{5,30}}\." for start in ("sc", "ext", "scauth", "authress")
    ],
    "azure-ad-client-secret": ["*q~"],
    "cloudflare-origin-ca-key": [r"v1\.0-[a-f0-9]{24}-"],
    "dropbox-short-lived-api-token": [r"sl\.[\w=-]{20}"],
    "facebook-page-access-token": ["eaa[mc][a-z0-9]{8}"],
    "flyio-access-token": ["fo1_", "fm1[ar]_", "fm2_"],
    "gocardless-api-token": [r"live_[\w=-]{20}"],
    "harness-api-key": [r"pat\.[\w-]{22}\.", r"sat\.[\w-]{22}\."],
    "hashicorp-tf-api-token": ["*.atlasv1."],
    "intra42-client-secret": ["s-s4t2(?:ud|af)-"],
    "lob-api-key": ["live_[a-f0-9]{35}", "test_[a-f0-9]{35}"],
    "mailchimp-api-key": ["*-us"],
    "mailgun-private-api-token": ["key-[a-f0-9]{32}"],
    "maxmind-license-key": ["*_mmk"],
    "microsoft-teams-webhook": ["*webhook.office"],
    "new-relic-insert-key": ["nrii-"],
    "new-relic-user-api-key": ["nrak-"],
    "octopus-deploy-api-key": ["api-[a-z0-9]{26}"],
    "openai-api-key": [r"sk-[\w-]{16}"],
    "plaid-api-token": ["access-(?:sandbox|development|production)-"],
    "slack-webhook-url": [r"hooks\.slack\.com/"],
    "sourcegraph-access-token": ["sgp_"],
    "twilio-api-key": ["sk[0-9a-f]{32}"],
    "twitter-bearer-token": ["a" * 22],
    "vault-service-token": [r"hvs\.", r"s\.[a-z0-9]{24}"],
    "yandex-access-token": [r"t1\.[\w-]{8}"],
    "yandex-api-key": [r"aqvn[\w-]{8}"],
}
# Changes of expressions: without its context, a shape itself must differ from other texts, such as a ULID
# with a prefix, a commit's id, zeros in the midst of data, or a name in a program.
REPLACED = {
    "octopus-deploy-api-key": ("API-", "API-(?!0)"),
    "sourcegraph-access-token": (r"|[a-fA-F0-9]{40})\b", r")\b"),
    "twitter-bearer-token": ("(A{22}", "(?<![+/])(A{22}"),
    "vault-service-token": (r"s\.(?i:", r"s\.(?=[A-Za-z]{0,23}[0-9])(?i:"),
}
ASSIGNED = r"""(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}"""
# The ends that gitleaks wants behind a value, and the context that it wants around an Azure secret.
ENDS = (r"""(?:[\x60'"\s;]|\\[nr]|$|\b)""", r"""(?:[\x60'"\s;]|\\[nr]|$)""", r"(?:[^a-zA-Z0-9+/]|\z)")
BEFORE_AZURE, BEHIND_AZURE = r"""(?:^|[\\'"\x60\s>=:(,)])""", r"""(?:$|[\\'"\x60\s<),])"""
HEADER = '''"""Shapes of credentials as gitleaks knows them, made of its list by `make credential-rules`.

Not to be edited. Copyright (c) 2019 Zachary Rice, under the MIT licence: see LICENSE beside this file.
"""

VERSION = "{version}"

# Kind, marks (domain/credentials/shapes.py says what these are), bits a character at least, expression.
# fmt: off
RULES: tuple[tuple[str, tuple[str, ...], float, str], ...] = (
'''


def scoped(expression: str) -> str:
    """RE2's syntax as Python's: flags in the middle hold for the rest of their group."""
    expression = expression.replace("[[:alnum:]]", "[a-zA-Z0-9]").replace(r"\z", r"\Z").replace(r"\x60", "`")
    while (flags := re.search(r"\(\?(i|s)\)", expression)) is not None:
        depth, at, in_class = 0, flags.end(), False
        while at < len(expression):
            sign = expression[at]
            if sign == "\\":
                at += 1
            elif in_class:
                in_class = sign != "]"
            elif sign == "[":
                in_class = True
            elif sign == "(":
                depth += 1
            elif sign == ")":
                if depth == 0:
                    break
                depth -= 1
            at += 1
        inner = expression[flags.end() : at]
        expression = f"{expression[: flags.start()]}(?{flags[1]}:{inner}){expression[at:]}"
    return expression


def edges(expression: str) -> str:
    """The expression with wider ends: any sign that can't go on with a value ends it, not only a quote."""
    for end in ENDS:
        expression = expression.replace(end, r"(?![A-Za-z0-9])")
    expression = expression.removeprefix(BEFORE_AZURE).replace(BEHIND_AZURE, r"(?![\w~-])")
    expression = expression.replace(r"(?:[^\w-]|\z)", r"(?![\w-])")
    expression = re.sub(r"^(\(\?i\))?(?:\\b)", r"\1", expression).replace(r"(\b(", "((")
    return expression.replace(r"\b", r"(?![A-Za-z0-9])")


def marks(rule: dict[str, Any]) -> tuple[str, ...]:
    if rule["id"] in MARKS:
        return tuple(MARKS[rule["id"]])
    # A keyword of letters alone may begin any word, so more of the value must follow it.
    return tuple(
        keyword + r"[\w+/=-]{8}" if keyword.isalnum() else keyword.replace(".", r"\.")
        for keyword in rule["keywords"]
    )


def expression_of(rule: dict[str, Any]) -> str | None:
    """The expression of a value at the beginning of a text; `None` if the rule is left out."""
    expression, name = rule.get("regex"), rule["id"]
    if expression is None or name in LEFT_OUT:
        return None
    if name == "atlassian-api-token":
        expression = expression.rpartition("|\\b")[2]
    elif name in SPEAK_FOR_THEMSELVES:
        folded = "(?i)" if expression.startswith("(?i)") else ""
        expression = folded + expression.partition(ASSIGNED)[2]
    elif ASSIGNED in expression:
        return None
    old, new = REPLACED.get(name, ("", ""))
    return scoped(edges(expression.replace(old, new)))


def git(clone: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", clone, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def main(clone: Path) -> None:
    """Prints the module."""
    listed = tomllib.loads(git(clone, "show", "HEAD:config/gitleaks.toml"))
    print(HEADER.format(version=git(clone, "describe", "--tags")), end="")
    for rule in listed["rules"]:
        expression = expression_of(rule)
        if expression is None:
            continue
        re.compile(expression, re.ASCII)
        row = (rule["id"].replace("-", "_"), marks(rule), float(rule.get("entropy", 0)), expression)
        print(f"    {row!r},")
    print(")\n# fmt: on")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
