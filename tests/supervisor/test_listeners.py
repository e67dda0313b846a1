"""The sockets of the slots."""

import socket

import pytest

from tidegate.supervisor import ListenFailed, open_listeners


def test_port_0_gives_every_slot_the_same_free_port() -> None:
    listeners = open_listeners("127.0.0.1", 0, 3)
    assert len({listener.address for listener in listeners}) == 1
    assert len({listener.socket.fileno() for listener in listeners}) == 3
    for listener in listeners:
        listener.close()


def test_a_second_gateway_of_the_same_user_is_refused_from_the_first_moment() -> None:
    listeners = open_listeners("127.0.0.1", 0, 1)
    port = listeners[0].address[1]
    with pytest.raises(ListenFailed, match=f"Port {port} is taken by pid .*--port"):
        open_listeners("127.0.0.1", port, 1)
    listeners[0].close()
    open_listeners("127.0.0.1", port, 1)[0].close()


def test_connections_in_time_wait_do_not_keep_a_port() -> None:
    listener = open_listeners("127.0.0.1", 0, 1)[0]
    host, port = listener.address
    with socket.create_connection((host, port)) as client:
        served, _ = listener.socket.accept()
        served.close()  # closes first: the server's side is the one that waits
        assert client.recv(1) == b""
    listener.close()
    open_listeners(host, port, 1)[0].close()


@pytest.mark.parametrize(
    "host, said",
    [("203.0.113.1", "not an address of this machine"), ("no such host", "Cannot listen on")],
)
def test_an_address_that_cannot_be_had_is_explained(host: str, said: str) -> None:
    with pytest.raises(ListenFailed, match=said):
        open_listeners(host, 0, 1)
