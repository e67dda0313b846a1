"""The log says why a target cannot be reached: once, not for each request."""

import asyncio
import logging
import socket
import ssl

import pytest

from tidegate.http.errors import GatewayError, UpstreamUnavailable
from tidegate.upstream.reach import QUIET_S, Reach, reason_of
from tidegate.upstream.target import Target

NAME = "http://up.test:81 of service test"


@pytest.fixture(autouse=True)
def _all_lines(caplog):
    caplog.set_level(logging.INFO, "tidegate.upstream")


@pytest.fixture
def reach():
    return Reach(Target.parse("http://up.test:81"), "test")


def test_a_target_that_stays_away_is_told_once_in_a_while(reach, caplog):
    refused = ConnectionRefusedError(111, "Connection refused")
    for now_s in (0.0, 0.0, QUIET_S - 0.1, QUIET_S, QUIET_S + 1):
        reach.failed(refused, now_s)
    assert caplog.messages == [f"{NAME} cannot be reached: connection refused"] * 2
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_its_return_is_told_and_one_that_flaps_stays_within_the_bound(reach, caplog):
    for _ in range(5):
        reach.failed(TimeoutError(), 1.0)
        if reach.is_told_away:
            reach.returned()
    assert caplog.messages == [
        f"{NAME} cannot be reached: no connection in time",
        f"{NAME} is reached again",
    ]


def unverified() -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (
            socket.gaierror(-2, "Name or service not known"),
            "its name cannot be resolved, Name or service not known",
        ),
        (TimeoutError(), "no connection in time"),
        (unverified(), "its certificate cannot be verified, certificate has expired"),
        (ssl.SSLError(1, "wrong version"), "no TLS connection, wrong version"),
        (OSError(113, "No route to host"), "No route to host"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
        (ConnectionResetError(), "the connection was closed at once"),
    ],
)
def test_a_reason_is_told_in_words(error, reason):
    assert reason_of(error).startswith(reason)


async def test_requests_to_a_dead_target_leave_one_line_and_its_return_another(
    client, ask, read, caplog
):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    upstream = client(f"http://127.0.0.1:{port}")
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable):
            await upstream.send(ask())
    name = f"http://127.0.0.1:{port} of service test"
    assert caplog.messages == [f"{name} cannot be reached: connection refused"]
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        for _ in range(2):
            assert await read(await upstream.send(ask())) == b"ok"
    assert caplog.messages[1:] == [f"{name} is reached again"]


async def test_a_name_that_cannot_be_resolved_is_told(client, ask, caplog):
    with pytest.raises(GatewayError):
        await client("http://nowhere.invalid", timeouts={"connect": 20}).send(ask())
    assert "http://nowhere.invalid of service test cannot be reached: its name" in caplog.text
