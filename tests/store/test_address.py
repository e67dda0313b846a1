"""Store URLs: what they mean, what is wrong with them, and who may be spoken to."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tidegate.store import Connection, StoreRefused, StoreUnavailable
from tidegate.store.address import Address, Place

Connect = Callable[..., Awaitable[Connection]]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", ("cache", 6379, "", 0, "", "")),
        ("redis://cache:7000/3", ("cache", 7000, "", 3, "", "")),
        ("redis://:s%40crt@cache?db=2", ("cache", 6379, "", 2, "", "s@crt")),
        ("redis://alice:secret@[::1]:7000", ("::1", 7000, "", 0, "alice", "secret")),
        (
            "unix:///a%20b/v.sock?db=4",
            ("localhost", 6379, "/a b/v.sock", 4, "", ""),
        ),
        (
            "unix://alice:secret@/run/v.sock",
            ("localhost", 6379, "/run/v.sock", 0, "alice", "secret"),
        ),
    ],
)
def test_a_url_means(url: str, expected: tuple[object, ...]) -> None:
    address = Address.parse(url)
    fields = ("host", "port", "socket_path", "database", "username", "password")
    assert tuple(getattr(address, field) for field in fields) == expected
    assert "secret" not in repr(address) + address.redacted


def test_a_url_names_sentinels_and_what_they_call_the_primary() -> None:
    address = Address.parse("redis+sentinel://alice:s%40crt@a:1,[::1]:2,b/main/3")
    assert address.asked == (("a", 1), ("::1", 2), ("b", 26379))
    assert (address.service, address.database, address.is_cluster) == ("main", 3, False)
    primary = address.at(Place("10.0.0.1", 6379))
    assert (primary.host, primary.port, primary.database) == ("10.0.0.1", 6379, 3)
    assert (primary.username, primary.password) == ("alice", "s@crt")
    assert (primary.asked, primary.service) == ((), "")
    assert "s@crt" not in repr(address) + address.redacted


def test_a_url_names_nodes_of_a_cluster() -> None:
    address = Address.parse("rediss+cluster://a:7000,b/0")
    assert address.asked == (("a", 7000), ("b", 6379))
    assert address.is_cluster
    assert address.at(Place("c", 1)).tls is address.tls is not None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://cache", "redis.url: scheme 'http' is not known"),
        ("redis://cache/x", "redis.url: redis://cache/x is not valid: invalid literal"),
        ("redis://a:secret@cache:notaport", "redis.url: redis://***@cache:notaport is not valid"),
        ("redis://cache?ssl_cert_reqs=none", "options that are not known: ssl_cert_reqs"),
        ("redis://cache?ssl_ca_certs=/x", "options that are not known: ssl_ca_certs"),
        ("rediss://cache?ssl_ca_certs=/nowhere", "rediss://cache: cannot read its TLS files"),
        ("redis+sentinel://:secret@a:1,b", "redis+sentinel://***@a:1,b does not say which primary"),
        ("redis+sentinel://a/main/x", "is not valid: invalid literal"),
        ("redis+cluster://a:secret@b:7000,:1", "is not valid: ':1' is no HOST:PORT"),
        ("redis+cluster://a/3", "has a path, but a Cluster has database 0 only"),
    ],
)
def test_a_wrong_url_is_refused_without_its_secret(url: str, message: str) -> None:
    with pytest.raises(StoreRefused) as caught:
        Address.parse(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_user_password_database_and_name_are_given_at_each_link(
    address: Address, connect: Connect
) -> None:
    admin = await connect(address)
    await admin.execute("ACL", "SETUSER", "alice", "on", ">sesame", "~*", "&*", "+@all")
    url = f"unix://alice:sesame@{address.socket_path}?db=3"
    for resp3 in (False, True):
        connection = await connect(Address.parse(url), name="alice's", resp3=resp3)
        for _ in range(2):
            number = await connection.execute("CLIENT", "ID")
            own = str(await connection.execute("CLIENT", "LIST", "ID", number))
            assert "name=alice's" in own
            assert " db=3 " in own
            assert " user=alice " in own
            connection.reconnect("to see it again")
            await asyncio.sleep(0)
            await connection.wait_up(5)
    await admin.execute("ACL", "DELUSER", "alice")


async def test_a_wrong_password_says_so_and_keeps_it_secret(address: Address) -> None:
    connection = Connection(Address.parse(f"unix://alice:sesame@{address.socket_path}"))
    connection.start()
    with pytest.raises(StoreUnavailable) as caught:
        await connection.wait_up(0.3)
    await connection.aclose()
    assert "WRONGPASS" in caught.value.detail
    assert "sesame" not in caught.value.detail


async def test_tls_is_verified(valkey_address: Address, connect: Connect, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    tasks: list[asyncio.Task[Any]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(valkey_address.socket_path)
        tasks.extend(map(asyncio.ensure_future, (pump(reader, back), pump(there, writer))))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    connection = await connect(
        Address.parse(f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/ca.pem")
    )
    assert await connection.execute("PING") == b"PONG"
    await connection.aclose()
    for url in (
        f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/other.pem",
        f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem",
        f"rediss://localhost:{port}",
    ):
        stranger = Connection(Address.parse(url))
        stranger.start()
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await stranger.wait_up(0.2)
        await stranger.aclose()
    server.close()
    await asyncio.wait(tasks)
