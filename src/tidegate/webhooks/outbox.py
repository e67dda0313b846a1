"""The outbox: events that wait in the store until their receiver has taken them.

`put` writes an event once for its quota, window and share, by one script that looks at what was
told and adds what was not: whoever else notices the same finds it told. `claim` gives events that
are due to one process and hides them from others for a while: one that dies gives them back by
dying. `later` and `done` end a claim; a claim that has passed to another is not put off by its
first holder. All keys lie in one hash slot, and all times are the store's.

Events wait in queues, one for each limit of each tenant, which are claimed in turn. A queue may
hold as many as there are places free: one that floods takes half, two take a third each, and what
is left is for who has none. A share without a place is not told: it is when it is offered again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from tidegate.store import Script, Store

TIMEOUT_S: Final = 2.0
GONE_S: Final = 86_400
"""For how long a receiver that says 410 is left alone."""

_TURNS: Final = b"tg:{webhooks}:turns"
_QUEUE: Final = b"tg:{webhooks}:waiting:"
_BODIES: Final = b"tg:{webhooks}:bodies"
_ATTEMPTS: Final = b"tg:{webhooks}:attempts"
_TOLD: Final = b"tg:{webhooks}:told:"
_GONE: Final = b"tg:{webhooks}:gone:"

# A queue's turn is when it was served last, or when its first event will be due.
_SEATED: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function seat(turns, queue, name)
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if not first[2] then
    redis.call('ZREM', turns, name)
  elseif tonumber(redis.call('ZSCORE', turns, name) or now + 1) > now then
    redis.call('ZADD', turns, math.max(first[2], now), name)
  end
end
"""

_PUT: Final = Script.of(
    "webhooks_put",
    _SEATED
    + """
-- KEYS: turns, queue, bodies, told
-- ARGV: queue, digest, seconds left of the window, what its ends are a multiple of, most events,
--       tail, then for each share, ascending: permille, head
-- reply: {events written, events without a place}
local window_end = math.floor((time[1] + ARGV[3]) / ARGV[4]) * ARGV[4]
local told_end, told = string.match(redis.call('GET', KEYS[4]) or '', '^(%d+):(%d+)$')
told_end, told = tonumber(told_end or 0), tonumber(told or 0)
if told_end ~= window_end then told = 0 end
local held, free = redis.call('ZCARD', KEYS[2]), ARGV[5] - redis.call('HLEN', KEYS[3])
local written, dropped, is_new = 0, 0, false
for index = 7, #ARGV, 2 do
  local share = tonumber(ARGV[index])
  if share > told and held < free then
    local ending = string.format('%d', window_end)
    local id = 'msg_' .. ARGV[2] .. '_' .. ending .. string.format('_%04d', share)
    local event = time[1] .. ' ' .. ARGV[index + 1] .. ending .. ARGV[6]
    told, is_new = share, true
    if redis.call('HSETNX', KEYS[3], id, event) == 1 then
      redis.call('ZADD', KEYS[2], now, id)
      written, held, free = written + 1, held + 1, free - 1
    end
  elseif share > told then
    dropped = dropped + 1
  end
end
if written > 0 then seat(KEYS[1], KEYS[2], ARGV[1]) end
if is_new and window_end >= told_end then
  local kept = math.max(window_end - time[1], 0) + 60
  redis.call('SET', KEYS[4], string.format('%d:%d', window_end, told), 'EX', kept)
end
return {written, dropped}
""",
)

_CLAIM: Final = Script.of(
    "webhooks_claim",
    _SEATED
    + """
-- KEYS: turns, what queues begin with, bodies, attempts, gone
-- ARGV: most events, milliseconds they are claimed for
-- reply: queue, id, attempt, age in seconds, body, ... of each event
local reply = {}
if redis.call('EXISTS', KEYS[5]) == 1 then return reply end
for served = 1, tonumber(ARGV[1]) do
  local name = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + 0.9, 'LIMIT', 0, 1)[1]
  if not name then break end
  local queue = KEYS[2] .. name
  local id = redis.call('ZRANGEBYSCORE', queue, '-inf', now, 'LIMIT', 0, 1)[1]
  local kept = id and redis.call('HGET', KEYS[3], id)
  if kept then
    local written_at, body = string.match(kept, '^(%d+) (.*)$')
    redis.call('ZADD', queue, now + ARGV[2], id)
    reply[#reply + 1] = name
    reply[#reply + 1] = id
    reply[#reply + 1] = redis.call('HINCRBY', KEYS[4], id, 1)
    reply[#reply + 1] = math.max(time[1] - written_at, 0)
    reply[#reply + 1] = body
  elseif id then
    redis.call('ZREM', queue, id)
    redis.call('HDEL', KEYS[4], id)
  end
  -- Behind all that were served before it, in this claim too.
  redis.call('ZREM', KEYS[1], name)
  now = now + 0.001
  seat(KEYS[1], queue, name)
end
return reply
""",
)

_LATER: Final = Script.of(
    "webhooks_later",
    _SEATED
    + """
-- KEYS: turns, queue, attempts; ARGV: queue, id, attempt, milliseconds until the next one
if redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('ZADD', KEYS[2], 'XX', now + ARGV[4], ARGV[2])
seat(KEYS[1], KEYS[2], ARGV[1])
return 1
""",
)

_DONE: Final = Script.of(
    "webhooks_done",
    _SEATED
    + """
-- KEYS: turns, queue, bodies, attempts; ARGV: queue, id
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
seat(KEYS[1], KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[3], ARGV[2])
""",
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that this process delivers, for the time being."""

    queue: bytes
    id: str
    body: bytes
    attempt: int
    """From 1."""
    age_s: int


class Outbox:
    """Holds no state: all of it is in the store. Raises StoreUnavailable and CommandFailed."""

    def __init__(self, store: Store, url: str, waiting_max: int) -> None:
        self._store = store
        self._gone = _GONE + blake2b(url.encode(), digest_size=12).hexdigest().encode()
        self._waiting_max = waiting_max

    async def put(
        self,
        queue: str,
        digest: str,
        seconds_left: int,
        multiple_s: int,
        shares: Sequence[tuple[int, bytes]],
        tail: bytes,
    ) -> tuple[int, int]:
        """Write an event for each share that was not told of; return how many were written, and
        how many found no place and are still to be told.

        `shares` are (permille, the event up to its window's end), ascending.
        """
        name, told_of = queue.encode(), digest.encode()
        flat: list[bytes | int] = [part for share in shares for part in share]
        window = (seconds_left, multiple_s)
        arguments = (name, told_of, *window, self._waiting_max, tail, *flat)
        keys = (_TURNS, _QUEUE + name, _BODIES, _TOLD + told_of)
        written, dropped = await self._store.run(_PUT, keys, arguments, TIMEOUT_S)
        return written, dropped

    async def claim(self, count: int, claim_s: float) -> list[Claimed]:
        """Return events that are due, which others do not get for `claim_s`."""
        keys = (_TURNS, _QUEUE, _BODIES, _ATTEMPTS, self._gone)
        flat: list[Any] = await self._store.run(
            _CLAIM, keys, (count, round(claim_s * 1000)), TIMEOUT_S
        )
        parts = iter(flat)
        return [
            Claimed(queue, event_id.decode(), body, attempt, age_s)
            for queue, event_id, attempt, age_s, body in zip(*[parts] * 5, strict=True)
        ]

    async def later(self, event: Claimed, delay_s: float) -> None:
        """Let the event be tried again after `delay_s`, if nobody else has it by now."""
        keys = (_TURNS, _QUEUE + event.queue, _ATTEMPTS)
        arguments = (event.queue, event.id.encode(), event.attempt, round(delay_s * 1000))
        await self._store.run(_LATER, keys, arguments, TIMEOUT_S)

    async def done(self, event: Claimed) -> None:
        """Forget the event: it was delivered, or is given up."""
        keys = (_TURNS, _QUEUE + event.queue, _BODIES, _ATTEMPTS)
        await self._store.run(_DONE, keys, (event.queue, event.id.encode()), TIMEOUT_S)

    async def gone(self) -> None:
        """Note that the receiver wants no more: nothing is claimed for it for a day."""
        await self._store.execute(b"SET", self._gone, b"1", b"EX", GONE_S, timeout_s=TIMEOUT_S)
