"""The tests have no network, and an attempt to reach one is noticed."""

import socket

import pytest

from tests import network

ABROAD = ("192.0.2.1", 80)  # an address that documents may name and nobody has (RFC 5737)


def attempts() -> list[str]:
    """What was tried; noted for no one else."""
    found = list(network.attempts)
    network.attempts.clear()
    return found


def test_an_attempt_is_refused_and_noted() -> None:
    with socket.socket() as client, pytest.raises(OSError, match="Tests have no network"):
        client.connect(ABROAD)
    assert attempts() == ["socket.connect '192.0.2.1'"]
    with pytest.raises(OSError, match="Tests have no network"):
        socket.create_connection(("example.org", 443))
    assert attempts() == ["socket.getaddrinfo 'example.org'"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with pytest.raises(OSError, match="Tests have no network"):
            sender.sendto(b"", ABROAD)
        assert attempts() == ["socket.sendto '192.0.2.1'"]


def test_this_machine_is_at_hand() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1])).close()
    assert attempts() == []


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((host, True) for host in ("127.0.0.2", "::1", b"localhost", "0.0.0.0", None)),
        *((host, False) for host in ("10.0.0.1", "localhost.example.org", b"example.org")),
    ],
)
def test_what_is_here(host: object, here: bool) -> None:
    assert network.is_here(host) is here
