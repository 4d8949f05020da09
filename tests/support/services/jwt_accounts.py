"""The accounts of a configuration as an operator of NATS signs them: JWTs of operator, accounts and users.

Each account that imports a private export needs a token for it that the exporter has signed.
https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from hyperpage_client.transport.nkeys import NKey, new_seed

OPERATOR, ACCOUNT = 14 << 3, 0
UNLIMITED = dict.fromkeys(("subs", "data", "payload"), -1)
_ACCOUNT_LIMITS = UNLIMITED | dict.fromkeys(("imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
_STORAGE = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
_NANOSECONDS_A_MINUTE = 60 * 10**9


class Signer:
    """The key of an operator or of an account."""

    def __init__(self, kind: int) -> None:
        self._key = SigningKey.generate()
        content = bytes((kind,)) + bytes(self._key.verify_key)
        checksum = binascii.crc_hqx(content, 0).to_bytes(2, "little")
        self.public = base64.b32encode(content + checksum).decode().rstrip("=")

    def sign(self, subject: str, name: str, kind: str, says: Mapping[str, Any]) -> str:
        """A JWT about `subject`."""
        claims: dict[str, Any] = {
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "sub": subject,
            "nats": {**says, "type": kind, "version": 2},
        }
        claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode()
        text = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(claims)}"
        return f"{text}.{_text(self._key.sign(text.encode()).signature)}"


class JwtAccounts:
    """The accounts of a configuration, signed by an operator; `settings` are those of the nats-server.

    `creds` writes a creds file for the user of an account.
    """

    def __init__(self, accounts: Mapping[str, Mapping[str, Any]]) -> None:
        self._operator = Signer(OPERATOR)
        self._accounts = accounts
        self._signers = {name: Signer(ACCOUNT) for name in (*accounts, "SYS")}

    @property
    def settings(self) -> dict[str, Any]:
        preload = {
            signer.public: self._operator.sign(signer.public, name, "account", self._claims(name))
            for name, signer in self._signers.items()
        }
        system = self._signers["SYS"].public
        operator = self._operator.sign(
            self._operator.public, "operator", "operator", {"system_account": system}
        )
        return {
            "operator": operator,
            "system_account": system,
            "resolver": "MEMORY",
            "resolver_preload": preload,
        }

    def creds(self, account: str, file: Path) -> Path:
        """A creds file with the rights of the account's first user."""
        seed = new_seed()
        permissions = self._accounts[account]["users"][0]["permissions"]
        says = UNLIMITED | {"pub": permissions["publish"], "sub": permissions["subscribe"]}
        jwt = self._signers[account].sign(NKey(seed).public, account.lower(), "user", says)
        file.touch(mode=0o600)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
        return file

    def _claims(self, name: str) -> dict[str, Any]:
        account = self._accounts.get(name, {})
        has_streams = account.get("jetstream") == "enabled"
        return {
            "limits": _ACCOUNT_LIMITS | (_STORAGE if has_streams else {}),
            "exports": [_export(one) for one in account.get("exports", ())],
            "imports": [self._import(name, one) for one in account.get("imports", ())],
        }

    def _import(self, importer: str, said: Mapping[str, Any]) -> dict[str, Any]:
        kind = _kind(said)
        exporter, subject = said[kind]["account"], said[kind]["subject"]
        found = {
            "name": subject,
            "type": kind,
            "subject": subject,
            "account": self._signers[exporter].public,
            "local_subject": said.get("to", subject),
        }
        if self._is_private(exporter, kind, subject):
            found["token"] = self._signers[exporter].sign(
                self._signers[importer].public, subject, "activation", {"subject": subject, "kind": kind}
            )
        return found

    def _is_private(self, exporter: str, kind: str, subject: str) -> bool:
        exports = self._accounts[exporter]["exports"]
        return any(
            # The exported subject may be wider than the imported one.
            kind in one and "accounts" in one and subject.startswith(one[kind].removesuffix(">"))
            for one in exports
        )


def _export(said: Mapping[str, Any]) -> dict[str, Any]:
    kind = _kind(said)
    found = {"name": said[kind], "subject": said[kind], "type": kind, "token_req": "accounts" in said}
    if "response_type" in said:
        minutes = int(said["threshold"].removesuffix("m"))
        found |= {"response_type": "Stream", "response_threshold": minutes * _NANOSECONDS_A_MINUTE}
    return found


def _kind(said: Mapping[str, Any]) -> str:
    return "stream" if "stream" in said else "service"


def _encoded(content: Mapping[str, Any]) -> str:
    return _text(json.dumps(content).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
