"""From where a request comes: addresses, host names and origins that are ours, and those that are not.

A web site that the user visits may send requests to this machine (its `Origin` is another one), or let its own name
point to 127.0.0.1, so that the browser takes us for a part of that site (DNS rebinding: the `Host` is another one).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit


class Strangers:
    """Knows under which names this machine is asked.

    Args:
        host: the address it listens on.
        names: further names by which people reach it, such as that of a proxy.
    """

    def __init__(self, host: str, names: Iterable[str]) -> None:
        self._named = {name.lower().rstrip(".") for name in names}
        self._hosts = {"localhost", host.lower()} | self._named
        if not is_loopback(host):
            self._hosts.add(socket.gethostname().lower())

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and sentence for a request under a name or from a page that is not ours; None for all others.

        Args:
            headers: of the request, names in lower case.
        """
        host = headers.get("host", "")
        name = _name_of(host)
        if name is None or not self._is_ours(name):
            return 421, (
                f"Nothing is offered here under the name {host[:80]!r}. If it should be, start with --allow-host."
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_same(origin, host):
            return 403, (
                f"A page of {origin[:80]!r} may not ask this one. If it is this one behind a proxy, start it with "
                "--allow-host."
            )
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # an address is no name that somebody could point elsewhere

    def _is_same(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            name = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        if parts.scheme not in {"http", "https"}:
            return False
        return parts.netloc.lower() == host.lower() or name in self._named


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def counted_address(host: str) -> str:
    """The part of an address that one household or server has: all of IPv4, the first 64 bits of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _name_of(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".") or None
    except ValueError:
        return None
