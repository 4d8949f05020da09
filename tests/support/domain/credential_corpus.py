"""Credentials of every shape, and harmless texts, made from pieces so that this file looks like no leak.

The alphabets and lengths are those that the issuers document. A seed makes every run the same.
"""

import base64
import random
import string
import uuid
from typing import Any

LETTERS, DIGITS = string.ascii_letters, string.digits
WORD = LETTERS + DIGITS
UPPER = string.ascii_uppercase + DIGITS
BASE64 = WORD + "+/"
URL_SAFE = WORD + "-_"
HEX = "0123456789abcdef"


class Pieces(random.Random):
    """A source of chance that spells tokens."""

    def of(self, alphabet: str, length: int) -> str:
        return "".join(self.choices(alphabet, k=length))

    def jwt(self) -> str:
        parts = [b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}', self.randbytes(32)]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def shaped(seed: int = 1) -> dict[str, str]:
    """Credentials that are recognized by their shape alone, by kind."""
    make = Pieces(seed)
    dashes = "-" * 5
    github = {f"github {one}": f"gh{one}_" + make.of(WORD, 36) for one in "pousr"}
    gitlab = {
        f"gitlab {one}": f"gl{one}-" + make.of(URL_SAFE, 20)
        for one in ("pat", "dt", "rt", "ptt", "ft", "wt", "agent", "soat", "oas", "imt", "ffct", "rtr")
    }
    slack = {
        f"slack {one}": f"xox{one}-{make.of(DIGITS, 12)}-{make.of(DIGITS, 13)}-{make.of(WORD, 24)}"
        for one in "abpsr"
    }
    keys = {
        f"private key, {kind}": f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}\n{make.of(BASE64, 64)}\n"
        for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    }
    urls = {
        f"url of {scheme}": f"{scheme}://{user}:{make.of(WORD, 9)}@db.example.com:5432/main"
        for scheme, user in (("postgres", "app"), ("redis", ""), ("https", "me"), ("nats", "app"))
    }
    return github | gitlab | slack | keys | urls | {
        "github fine-grained": f"github_pat_{make.of(WORD, 22)}_{make.of(WORD, 59)}",
        "gitlab job": f"glcbt-64_{make.of(URL_SAFE, 20)}",
        "gitlab runner registration": "GR1348941" + make.of(URL_SAFE, 20),
        "atlassian": "ATATT3x" + make.of(URL_SAFE, 180) + "=" + make.of(HEX.upper(), 8),
        "bitbucket": "ATBB" + make.of(WORD, 32),
        "slack app": f"xapp-1-A{make.of(UPPER, 10)}-{make.of(DIGITS, 13)}-{make.of(HEX, 64)}",
        "slack refresh": "xoxe-1-" + make.of(WORD, 140),
        "slack rotated": "xoxe.xoxb-1-" + make.of(WORD, 160),
        "slack webhook": "https://hooks.slack.com/services/"
        f"T{make.of(UPPER, 10)}/B{make.of(UPPER, 10)}/{make.of(WORD, 24)}",
        "discord webhook": f"https://discord.com/api/webhooks/{make.of(DIGITS, 18)}/{make.of(URL_SAFE, 68)}",
        "aws id": "AKIA" + make.of(string.ascii_uppercase + "234567", 16),
        "aws temporary id": "ASIA" + make.of(string.ascii_uppercase + "234567", 16),
        "google api": "AIza" + make.of(URL_SAFE, 35),
        "google access": "ya29." + make.of(URL_SAFE, 60),
        "google client": "GOCSPX-" + make.of(URL_SAFE, 28),
        "pgp": f"{dashes}BEGIN PGP PRIVATE KEY BLOCK{dashes}\n\n{make.of(BASE64, 64)}",
        "jwt": make.jwt(),
        "bearer jwt": "Bearer " + make.jwt(),
        "stripe": "sk_live_" + make.of(WORD, 24),
        "anthropic": "sk-ant-api03-" + make.of(URL_SAFE, 93) + "AA",
        "openai": "sk-proj-" + make.of(URL_SAFE, 120),
        "huggingface": "hf_" + make.of(LETTERS, 34),
        "npm": "npm_" + make.of(WORD, 36),
        "pypi": "pypi-AgEIcHlwaS5vcmc" + make.of(URL_SAFE, 70),
        "docker": "dckr_pat_" + make.of(URL_SAFE, 27),
        "digitalocean": "dop_v1_" + make.of(HEX, 64),
        "vault": "hvs." + make.of(URL_SAFE, 90),
        "sendgrid": f"SG.{make.of(URL_SAFE, 22)}.{make.of(URL_SAFE, 43)}",
        "storage": f"AccountName=a;AccountKey={make.of(BASE64, 86)}==;EndpointSuffix=x",
        "telegram": f"{make.of(DIGITS, 10)}:AA{make.of(WORD, 33)}",
        "in a text": f"the call failed with ghp_{make.of(WORD, 36)}, says the server",
        "header in a text": "> Authorization: Bearer " + make.of(WORD, 32),
        "assignment in a text": "export API_TOKEN=" + make.of(HEX, 40),
        "parameter in a url": "https://api.example.com/x?page=2&access_token=" + make.of(WORD, 32),
        "json in a text": f'{{"password": "{make.of(WORD, 18)}"}}',
        "first parameter in a url": "https://api.example.com/x?access_token=" + make.of(WORD, 32),
        "fragment of a url": "https://example.com:8443/cb#access_token=" + make.of(WORD, 32),
        "path in a text": "location: /callback?api_key=" + make.of(WORD, 32),
    }  # fmt: skip


def named(seed: int = 1) -> dict[str, dict[str, Any]]:
    """Objects in which a name gives a secret value away, by kind."""
    make = Pieces(seed)
    names = (
        *("token", "api_key", "apiKey", "X-Api-Key", "secret", "client_secret", "clientSecret", "SECRET_KEY"),
        *("authorization", "Authorization", "private_key", "accessKey", "aws_secret_access_key", "tokens"),
        *(
            "refresh_token",
            "accessToken",
            "GITHUB_TOKEN",
            "credentials",
            "auth",
            "signing_key",
            "db.password",
        ),
    )
    return {f"random {name}": {name: make.of(WORD, 32)} for name in names} | {
        "hex token": {"token": make.of(HEX, 40)},
        "uuid token": {"token": str(uuid.UUID(int=make.getrandbits(128), version=4))},
        "aws secret": {"aws_secret_access_key": make.of(BASE64, 40)},
        "basic": {"authorization": "Basic " + base64.b64encode(f"me:{make.of(WORD, 12)}".encode()).decode()},
        "password": {"password": "hunter" + "2"},
        "password with signs": {"dbPassword": "correct-Horse_" + "42!"},
        "list of tokens": {"tokens": [make.of(WORD, 24)]},
        "tokens by host": {"tokens": {"build": make.of(WORD, 24)}},
        "pair": {"key": "github/token", "value": make.of(WORD, 24)},
        "named pair": {"env": [{"name": "API_TOKEN", "value": make.of(WORD, 24)}]},
    }


def harmless(seed: int = 1) -> dict[str, Any]:
    """Texts that are let through, by their kind."""
    make = Pieces(seed)
    prose = (
        "The token bucket algorithm: a token is added every second, and each request takes one. "
        "What is the secret of a good password? Its length; see https://example.com/passwords#why. "
        "Contact: support@example.com, or the author at https://example.com/@author. "
    )
    return {
        "uuid": str(uuid.UUID(int=make.getrandbits(128), version=4)),
        "many uuids": {"ids": [str(uuid.UUID(int=make.getrandbits(128), version=4)) for _ in range(20)]},
        "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "commit": {"commit": make.of(HEX, 40), "parents": [make.of(HEX, 40)]},
        "hashes": {"sha256": make.of(HEX, 64), "etag": f'W/"{make.of(HEX, 32)}"', "crc": make.of(HEX, 8)},
        "path": "/usr/local/lib/python3.11/site-packages/jsonschema_rs/canonical/__init__.py",
        "windows path": "C:\\Users\\me\\AppData\\Local\\Programs\\tool\\configuration-2.toml",
        "image": "data:image/png;base64," + base64.b64encode(make.randbytes(30_000)).decode(),
        "versions": ["1.2.3", "v10.20.30-rc.1+build.20261124", "2026.11.0", ">=3.11,<4"],
        "prose": prose * 50,
        "slugs": ["a-very-long-name-of-a-repository-in-some-organisation", "THIS_IS_A_LONG_CONSTANT_NAME_2"],
        "times": ["2026-11-24T09:30:00.123Z", "2026-11-24 09:30:00+00:00", 1_800_000_000_000],
        "urls": [
            "https://github.com/acme/site/pull/123/files#diff-0123456789abcdef0123456789abcdef",
            "http://[::1]:8080/a@b",
            "https://example.com:8443/users/@me",
            "https://example.com/list?page_token=CAUQAA2b3c4d5e6f7g8h&auth=none#token=of-the-page",
            "postgres://app@db.example.com:5432/main",
            "ssh://git@example.com:22/acme/site.git",
        ],
        "references": {
            "token": "${env:GITHUB_TOKEN}",
            "authorization": "Bearer ${env:API_TOKEN}",
            "url": "https://me:${env:PASSWORD}@example.com/",
            "password": "${env:DB_PASSWORD}",
        },
        "masks": {"token": "********", "password": "***", "url": "ftp://me:***@example.com", "pwd": "x" * 9},
        "placeholders": {"token": "<your token here>", "password": "<password>", "api_key": "{{ api_key }}"},
        "words under such names": {
            "token": "none", "password": "required", "secret": "the-name-of-a-secret", "auth": "oauth2",
            "authorization": "Bearer", "credentials": "same-origin",
        },
        "empty": {"token": "", "password": None, "secret": [], "auth": {}, "api_key": 0, "signing_key": 1},
        "counts and names about them": {
            "token_count": 4096, "max_tokens": 100_000, "tokenizer": "cl100k_base_2024a1b2c3d4",
            "secret_name": make.of(HEX, 32), "token_url": "https://auth.example.com/oauth2/v2.0/token",
            "public_key": make.of(BASE64, 44), "key_id": make.of(HEX, 32), "primary_key": make.of(HEX, 32),
            "password_policy": "min-12-chars-2-digits", "author": make.of(HEX, 24),
            "token_type": make.of(HEX, 24),
        },
        "about a credential": {
            "auth": {"type": "oauth2", "client_id": make.of(HEX, 32), "scopes": ["repo", "read:org"],
                     "token_url": "https://example.com/oauth2/token", "expires_at": 1_800_000_000_000},
        },
        "where a key is": {"private_key": "/etc/ssl/private/server-2024.key", "token": "file:///run/secrets"},
        "pages": {"next_page_token": make.of(WORD, 32), "nextToken": make.of(WORD, 40), "page_token": "CAU"},
        "a json schema": {
            "properties": {
                "token": {"type": "string", "pattern": "^ghp_[A-Za-z0-9]{36}$", "description": "Of 40."},
                "password": {"type": "string", "minLength": 12, "format": "password"},
            }
        },
        "keys of state": {"key": "token/cursor:2024", "value": {"at": 7}},
        "escapes": "a\u00e9\u2028\\u0041 \" / \b",
    }  # fmt: skip
