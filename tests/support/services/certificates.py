"""Certificates of an authority of our own, made by openssl."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made by openssl")


_OVER = ("-not_before", "20200101000000Z", "-not_after", "20200102000000Z")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Issued:
    """A certificate and its key, as files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key


class Authority:
    """An authority that issues certificates to servers and clients."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / f"{name}.crt"
        self._key = folder / f"{name}.key"
        signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._made(self.certificate, self._key, f"/CN={name}", *signs)

    def issue(self, file: str, subject: str, *, use: str = "clientAuth", is_over: bool = False) -> Issued:
        """A certificate for a subject, as `/CN=billing`, for clients or for servers (`serverAuth`)."""
        issued = Issued(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        self._made(
            issued.certificate,
            issued.key,
            subject,
            *("-CA", self.certificate, "-CAkey", self._key),
            *("-addext", f"extendedKeyUsage={use}", "-addext", "basicConstraints=critical,CA:false"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            is_over=is_over,
        )
        return issued

    def revoke(self, *issued: Issued) -> str:
        """The list of the certificates that are taken back, in PEM."""
        configuration, index = self._folder / "revoking.cnf", self._folder / "index.txt"
        index.touch()
        configuration.write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={index}\ndefault_md=sha256\n")
        signed = ("-config", configuration, "-cert", self.certificate, "-keyfile", self._key)
        for one in issued:
            _openssl("ca", *signed, "-revoke", one.certificate)
        revoked = self._folder / "revoked.crl"
        _openssl("ca", *signed, "-gencrl", "-crldays", "30", "-out", revoked)
        return revoked.read_text()

    @staticmethod
    def _made(certificate: Path, key: Path, subject: str, *more: Any, is_over: bool = False) -> None:
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *(_OVER if is_over else ("-days", "30")),
            *("-subj", subject, "-utf8", "-out", certificate, "-keyout", key, *more),
        )
