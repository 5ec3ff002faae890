"""No network for the tests but this machine's own, so that whoever has none can run them.

An attempt is refused and noted, and fails the test that made it. This is about what Python does in
this process; tests/test_supply.py denies the network to processes, too.
"""

import errno
import ipaddress
import socket
import sys
from contextlib import suppress

attempts: list[str] = []
"""What was tried since somebody emptied the list."""


def deny() -> None:
    """Refuse all that leads off this machine, from now on and for good."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a socket in a folder
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not is_here(host):
        attempts.append(f"{event} {host!r}")
        raise OSError(errno.ENETUNREACH, f"Tests have no network: {host!r}")


def is_here(host: object) -> bool:
    """Whether an address or name is this machine's own."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", socket.gethostname()}:
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(str(name))
        return address.is_loopback or address.is_unspecified
    return False
