"""The network that a caller's address counts as: `network_of`."""

from ipaddress import IPv6Address, ip_address

# Longer than any address; a proxy may pass on any text of its client as one.
MAXIMUM_CHARACTERS = 64


def network_of(host: str) -> str:
    """An IPv4 address itself, or the /64 network of an IPv6 address, all of which one machine may have."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:MAXIMUM_CHARACTERS]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
