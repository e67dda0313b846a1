"""https targets: verified, by name, or not spoken to."""

import asyncio
import ssl

import pytest
import trustme

from tidegate.http.errors import BadGateway, GatewayTimeout
from tidegate.testing.scripted_upstream import Act


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def context_for(authority):
    def make(*names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    return make


async def test_a_verified_upstream_answers_and_is_told_its_name(
    serve, client, ask, read, ca_file, context_for, counts
):
    seen = []
    context = context_for("localhost")
    context.sni_callback = lambda tls, name, _: seen.append(name)
    server = await serve(tls=context)
    upstream = client(server, tls={"ca_file": ca_file})
    for _ in range(2):
        assert await read(await upstream.send(ask())) == b'{"ok":true}'
    assert seen == ["localhost"]
    assert server.requests[0].get_all(b"host") == [b"localhost:%d" % server.port]
    assert server.connections_opened == 1
    assert counts(upstream).idle == 1


async def test_host_can_be_preserved_to_https(serve, client, ask, ca_file, context_for):
    server = await serve(tls=context_for("localhost"))
    await client(server, host="preserve", tls={"ca_file": ca_file}).send(ask())
    assert server.requests[0].get_all(b"host") == [b"gateway.test"]


async def test_a_certificate_for_another_name_is_502(
    serve, client, ask, ca_file, context_for, counts
):
    server = await serve(tls=context_for("other.test"))
    upstream = client(server, tls={"ca_file": ca_file})
    with pytest.raises(BadGateway, match="certificate of service test cannot be verified"):
        await upstream.send(ask())
    assert server.requests == []
    assert counts(upstream).held == 0


async def test_an_unknown_authority_is_502(serve, client, ask, context_for):
    server = await serve(tls=context_for("localhost"))
    with pytest.raises(BadGateway, match="certificate of service test cannot be verified"):
        await client(server).send(ask())
    assert server.requests == []


async def test_an_upstream_that_speaks_no_tls_is_502(client, ask, ca_file):
    async def plain(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(BadGateway, match="No TLS connection"):
            await client(url, tls={"ca_file": ca_file}).send(ask())


async def test_the_connect_timeout_covers_the_handshake(serve, client, ask, ca_file, eventually):
    server = await serve([Act.STALL])  # plain: it reads the hello and says nothing
    url = f"https://localhost:{server.port}"
    with pytest.raises((GatewayTimeout, BadGateway)):
        await client(url, tls={"ca_file": ca_file}, timeouts={"connect": 0.2}).send(ask())
    await eventually(lambda: server.connections_open == 0)


async def test_a_body_delimited_by_close_needs_a_close_notify(
    client, ask, read, ca_file, context_for
):
    async def cut(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()  # FIN without the alert that TLS ends with (RFC 9112, 9.8)

    context = context_for("localhost")
    async with await asyncio.start_server(cut, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        response = await client(url, tls={"ca_file": ca_file}).send(ask())
        with pytest.raises(BadGateway):
            await read(response)


async def test_a_body_delimited_by_close_is_whole_with_one(
    serve, client, ask, read, ca_file, context_for
):
    answer = b"HTTP/1.1 200 OK\r\n\r\nwhole"
    server = await serve([answer, Act.CLOSE], tls=context_for("localhost"))
    assert await read(await client(server, tls={"ca_file": ca_file}).send(ask())) == b"whole"


def test_a_ca_file_that_cannot_be_used_is_said_when_the_client_is_made(client, tmp_path):
    path = tmp_path / "none.pem"
    with pytest.raises(ValueError, match=r"service test: tls.ca_file .*none.pem.* not usable"):
        client("https://localhost", tls={"ca_file": str(path)})
    path.write_text("not a certificate")
    with pytest.raises(ValueError, match="not usable"):
        client("https://localhost", tls={"ca_file": str(path)})
