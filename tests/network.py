"""Refuse network access in tests, except to this machine.

An attempt is refused and recorded, and fails the test that made it. Covers Python in this process;
tests/project/test_supply.py denies the network to subprocesses too.
"""

import errno
import ipaddress
import socket
import sys
from contextlib import suppress

attempts: list[str] = []
"""Attempts since the list was last cleared."""


def deny() -> None:
    """Refuse all connections to other machines, for the rest of this process."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a Unix socket
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not is_here(host):
        attempts.append(f"{event} {host!r}")
        raise OSError(errno.ENETUNREACH, f"Tests have no network: {host!r}")


def is_here(host: object) -> bool:
    """Return True if an address or name is this machine's own."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", socket.gethostname()}:
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(str(name))
        return address.is_loopback or address.is_unspecified
    return False
