"""Sends requests to one service: picks a target, gets a connection, tries again where that is safe.

What may be sent twice (RFC 9110, section 9.2.2): anything of which not a byte was written, hence
every failure to connect; and, once, a request with an idempotent method and a whole body that met
a connection which the peer was just closing. Nothing else, ever: a streamed body is pulled once.
Hot: with an idle connection there is one await, for the response itself.
"""

import asyncio
from typing import Final

from tidegate.config.schema import Service
from tidegate.http.errors import GatewayError, Retry, UpstreamUnavailable
from tidegate.http.headers import HeaderField
from tidegate.http.message import Informational, Request, Response
from tidegate.upstream.balancer import Balancer
from tidegate.upstream.connection import Connection
from tidegate.upstream.failures import PoolFull, StaleConnection
from tidegate.upstream.pool import Counts, Pool
from tidegate.upstream.request_head import HeadWriter, host_rule
from tidegate.upstream.target import Target
from tidegate.upstream.tls import client_context

CONNECTS_MAX: Final = 3
"""Targets tried for one request; each may take the connect timeout."""

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class Upstream:
    """The client of one service of the configuration. `send` is all that a request needs.

    `Response.headers` hold the upstream's end-to-end fields and Via; its body is bytes if all of
    it was there at once, else an iterator whose pulling is the backpressure. Whoever gets the
    response must call its `aclose`; a body that was not read to its end closes the connection.
    """

    def __init__(self, service: Service) -> None:
        """Opens nothing yet. Raises ValueError for a target or a `ca_file` that cannot be used."""
        is_tls = any(url.startswith("https:") for url in service.targets)
        tls = client_context(service.tls, service.name) if is_tls else None
        self._pools: list[Pool] = []
        self._writers: dict[Pool, HeadWriter] = {}
        for url in service.targets:
            target = Target.parse(url, tls)
            pool = Pool(target, service.pool, service.timeouts, service.name)
            self._pools.append(pool)
            self._writers[pool] = HeadWriter(host_rule(service.host, target.scheme))
        self._balancer = Balancer(self._pools)
        self._only = next(iter(self._writers.items())) if len(self._pools) == 1 else None
        """Pool and writer of a lone target: there is nothing to choose."""

    async def send(
        self,
        request: Request,
        on_informational: Informational | None = None,
        ready: bytes = b"",
        fields: list[HeaderField] | None = None,
    ) -> Response:
        """Send `request` and return the response; `on_informational` is told of 1xx but 100.

        `ready` are fields besides the request's own, made by `ready_fields`; or besides `fields`,
        if these are to be sent instead. Raises BadGateway,
        GatewayTimeout or UpstreamUnavailable; BadRequest or PolicyFailed for a request that cannot
        be written safely; and whatever a streamed request body raises.
        """
        if (only := self._only) is not None:
            pool, writer = only
        else:
            pool = self._balancer.pick()
            writer = self._writers[pool]
        head = writer.head(request, pool.authority, ready, fields)
        connection = pool.take()
        if connection is None:
            return await self._send_anew(request, pool, on_informational, ready, fields)
        reply = connection.send(request, head, on_informational)
        try:
            return await reply
        except StaleConnection:
            if request.method not in IDEMPOTENT or not isinstance(request.body, bytes):
                raise
        except BaseException:
            connection.abandon(reply)
            del reply  # it holds what it failed with, which leads back here: a circle
            raise
        return await self._send_anew(request, pool, on_informational, ready, fields, is_fresh=True)

    def retire(self) -> None:
        """A newer configuration took over: let what is under way end, and keep nothing idle."""
        for pool in self._pools:
            pool.retire()

    async def aclose(self) -> None:
        """Close every connection. What is still under way fails."""
        for pool in self._pools:
            pool.close()
        await asyncio.sleep(0)  # the loop closes aborted transports in its next turn

    @property
    def counts(self) -> dict[str, Counts]:
        """The pools at this moment, by `host:port` of their target."""
        return {f"{p.target.host}:{p.target.port}": p.counts for p in self._pools}

    async def _send_anew(
        self,
        request: Request,
        pool: Pool,
        on_informational: Informational | None,
        ready: bytes,
        fields: list[HeaderField] | None,
        *,
        is_fresh: bool = False,
    ) -> Response:
        """Send on a connection that has to be opened or waited for; of `pool` if it can be had."""
        pool, connection = await self._connect(pool, is_fresh=is_fresh)
        try:
            head = self._writers[pool].head(request, pool.authority, ready, fields)
        except GatewayError:
            connection.close()
            raise
        reply = connection.send(request, head, on_informational)
        try:
            return await reply
        except BaseException:
            connection.abandon(reply)
            del reply
            raise

    async def _connect(self, pool: Pool, *, is_fresh: bool = False) -> tuple[Pool, Connection]:
        """Return a connection to `pool`'s target, or to the next one if that cannot be had."""
        tried: list[Pool] = []
        for _ in range(CONNECTS_MAX):
            try:
                return pool, await pool.acquire(is_fresh=is_fresh)
            except GatewayError as error:
                failure = error
                if error.retry is not Retry.UNPROCESSED:
                    raise
            if not isinstance(failure, PoolFull):
                self._balancer.avoid(pool)
            tried.append(pool)
            following = self._balancer.next_untried(tried)
            if following is None and not _may_try_again(failure, tried):
                break
            pool = following or pool
        try:
            raise failure
        finally:
            del failure  # it would hold its own frame: a circle


def _may_try_again(failure: GatewayError, tried: list[Pool]) -> bool:
    """A lone target that refused is asked once more: it may just be restarting."""
    is_refused = isinstance(failure, UpstreamUnavailable) and not isinstance(failure, PoolFull)
    return is_refused and len(tried) == 1
