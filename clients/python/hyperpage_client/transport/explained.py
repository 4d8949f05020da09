"""The errors of a connection, in words, with what to do."""

import re
import ssl

from hyperpage_client.transport.access import AccessError

# OpenSSL's names of what went wrong with TLS: what is said of it, and the hint.
_ALERTS = {
    "CERTIFICATE_REQUIRED": (
        "it wants to see a certificate of ours (mutual TLS)",
        "name one, with its key: nats_certificate and nats_key, or `certificate` and `key` of a client",
    ),
    "UNKNOWN_CA": (
        "it does not know the authority of the certificate that it was shown",
        "have its `ca_file` name that authority, or show another certificate",
    ),
    "CERTIFICATE_EXPIRED": (
        "the certificate that it was shown has expired",
        "have a new one made; it is taken in with the next attempt",
    ),
    "BAD_CERTIFICATE": (
        "it does not take the certificate that it was shown",
        "its log says why: one of an authority that it trusts, for clients (`clientAuth`), and not expired",
    ),
    "HANDSHAKE_FAILURE": ("there is no way of TLS that both sides speak", "TLS 1.2 is the least here"),
    "PROTOCOL_VERSION": ("there is no version of TLS that both sides speak", "TLS 1.2 is the least here"),
    "WRONG_VERSION_NUMBER": ("what it speaks is no TLS", "is this the port of a nats-server with TLS?"),
}
# By OpenSSL's numbers of what is wrong with a certificate.
_EXPIRED, _NOT_YET = 10, 9
_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
_NAMES = frozenset({62, 64})
_VIOLATION = re.compile(r"permissions violation for (\w+) to \"?([^\"']+)\"?", re.IGNORECASE)


def explained(error: BaseException) -> tuple[str, str]:
    """The text for an error, and a hint, which is "" if there is none."""
    if isinstance(error, AccessError):
        return str(error), error.hint
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        known = next((words for mark, words in _ALERTS.items() if mark in reason.upper()), None)
        return known or (
            f"TLS failed: {reason.replace('_', ' ').lower()}",
            "the log of the nats-server may say more",
        )
    said = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", ""
    if isinstance(error, TimeoutError):
        return said, ""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)", ""
    return _of_server(said or type(error).__name__)


def is_final(error: Exception) -> bool:
    """Whether trying again fails in the same way, until a file or a server is changed."""
    return isinstance(error, AccessError | ssl.SSLCertVerificationError)


def _of_certificate(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired", "have its operator renew it"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet", "is the clock of this machine right?"
    if error.verify_code in _UNTRUSTED:
        return (
            "its certificate comes from no authority that is trusted here",
            "name the file with its authority's certificate: nats_ca, or `ca` of a client",
        )
    if error.verify_code in _NAMES:
        return (
            f"its certificate is not for that name: {error.verify_message.rstrip('.')}",
            "take the name that stands in it, or have one made that has this name (subjectAltName)",
        )
    return f"its certificate is not good: {error.verify_message}", "`openssl x509 -noout -text` shows it"


def _of_server(said: str) -> tuple[str, str]:
    lowered = said.lower()
    if "authorization violation" in lowered or "authentication" in lowered:
        return (
            "it does not know that user, or not with these credentials (Authorization Violation)",
            "it knows those in its configuration; `nats-server --signal reload` has it read that again",
        )
    if (found := _VIOLATION.search(said)) is not None:
        what = "publish to" if found[1].lower() == "publish" else "subscribe to"
        return (
            f"this user may not {what} {found[2].strip()}",
            "give it the permissions that `hyperpage nats-config` writes for its role",
        )
    return said, ""
