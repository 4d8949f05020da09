"""Addresses of brokers, which may carry a user and a password: `without_credentials`."""


def without_credentials(url: str) -> str:
    """The address as it may be shown."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
