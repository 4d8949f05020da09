"""Who is counted as one: `network_of`."""

from ipaddress import IPv6Address, ip_address

# Longer than any address; a proxy may have handed on whatever its client wrote.
MAXIMUM_CHARACTERS = 64


def network_of(host: str) -> str:
    """What an address counts as: itself, or the /64 of an IPv6 address, all of which one machine may have."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:MAXIMUM_CHARACTERS]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
