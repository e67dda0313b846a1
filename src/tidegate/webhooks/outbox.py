"""The outbox: events that wait in the store until their receiver has taken them.

`put` writes an event once for its quota, window and share, by one script that looks at what was
told and adds what was not: whoever else notices the same finds it told. `claim` gives events that
are due to one process and hides them from others for a while: one that dies gives them back by
dying. `later` and `done` end a claim; a claim that has passed to another is not put off by its
first holder. All keys lie in one hash slot, and all times are the store's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from tidegate.store import Script, Store

TIMEOUT_S: Final = 2.0
GONE_S: Final = 86_400
"""For how long a receiver that says 410 is left alone."""

_WAITING: Final = b"tg:{webhooks}:waiting"
_BODIES: Final = b"tg:{webhooks}:bodies"
_ATTEMPTS: Final = b"tg:{webhooks}:attempts"
_TOLD: Final = b"tg:{webhooks}:told:"
_GONE: Final = b"tg:{webhooks}:gone:"

_PUT: Final = Script.of(
    "webhooks_put",
    """
-- KEYS: waiting, bodies, told
-- ARGV: digest, seconds left of the window, what its ends are a multiple of, most events, tail,
--       then for each share, ascending: permille, head
-- reply: {events written, events dropped}
local now = redis.call('TIME')
local window_end = math.floor((now[1] + ARGV[2]) / ARGV[3]) * ARGV[3]
local told_end, told = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+):(%d+)$')
told_end, told = tonumber(told_end or 0), tonumber(told or 0)
if told_end ~= window_end then told = 0 end
local written, dropped, room, is_new = 0, 0, ARGV[4] - redis.call('ZCARD', KEYS[1]), false
for index = 6, #ARGV, 2 do
  local share = tonumber(ARGV[index])
  if share > told then
    local ending = string.format('%d', window_end)
    local id = 'msg_' .. ARGV[1] .. '_' .. ending .. string.format('_%04d', share)
    told, is_new = share, true
    if room > 0 then
      local event = now[1] .. ' ' .. ARGV[index + 1] .. ending .. ARGV[5]
      if redis.call('HSETNX', KEYS[2], id, event) == 1 then
        redis.call('ZADD', KEYS[1], now[1] * 1000, id)
        written, room = written + 1, room - 1
      end
    else
      dropped = dropped + 1
    end
  end
end
if is_new and window_end >= told_end then
  local kept = math.max(window_end - now[1], 0) + 60
  redis.call('SET', KEYS[3], string.format('%d:%d', window_end, told), 'EX', kept)
end
return {written, dropped}
""",
)

_CLAIM: Final = Script.of(
    "webhooks_claim",
    """
-- KEYS: waiting, bodies, attempts, gone
-- ARGV: most events, milliseconds they are claimed for
-- reply: id, attempt, age in seconds, body, ... of each event
if redis.call('EXISTS', KEYS[4]) == 1 then return {} end
local time, reply = redis.call('TIME'), {}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  local kept = redis.call('HGET', KEYS[2], id)
  if kept then
    local written_at, body = string.match(kept, '^(%d+) (.*)$')
    redis.call('ZADD', KEYS[1], now + ARGV[2], id)
    reply[#reply + 1] = id
    reply[#reply + 1] = redis.call('HINCRBY', KEYS[3], id, 1)
    reply[#reply + 1] = math.max(time[1] - written_at, 0)
    reply[#reply + 1] = body
  else
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[3], id)
  end
end
return reply
""",
)

_LATER: Final = Script.of(
    "webhooks_later",
    """
-- KEYS: waiting, attempts; ARGV: id, attempt, milliseconds until the next one
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[3], ARGV[1])
return 1
""",
)

_DONE: Final = Script.of(
    "webhooks_done",
    """
-- KEYS: waiting, bodies, attempts; ARGV: id
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
""",
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that this process delivers, for the time being."""

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
        digest: str,
        seconds_left: int,
        multiple_s: int,
        shares: Sequence[tuple[int, bytes]],
        tail: bytes,
    ) -> tuple[int, int]:
        """Write an event for each share that was not told of; return how many were written, and
        how many had no room.

        `shares` are (permille, the event up to its window's end), ascending.
        """
        flat: list[bytes | int] = [part for share in shares for part in share]
        arguments = (digest.encode(), seconds_left, multiple_s, self._waiting_max, tail, *flat)
        keys = (_WAITING, _BODIES, _TOLD + digest.encode())
        written, dropped = await self._store.run(_PUT, keys, arguments, TIMEOUT_S)
        return written, dropped

    async def claim(self, count: int, claim_s: float) -> list[Claimed]:
        """Return events that are due, which others do not get for `claim_s`."""
        keys = (_WAITING, _BODIES, _ATTEMPTS, self._gone)
        flat: list[Any] = await self._store.run(
            _CLAIM, keys, (count, round(claim_s * 1000)), TIMEOUT_S
        )
        parts = iter(flat)
        return [
            Claimed(event_id.decode(), body, attempt, age_s)
            for event_id, attempt, age_s, body in zip(parts, parts, parts, parts, strict=True)
        ]

    async def later(self, event: Claimed, delay_s: float) -> None:
        """Let the event be tried again after `delay_s`, if nobody else has it by now."""
        arguments = (event.id.encode(), event.attempt, round(delay_s * 1000))
        await self._store.run(_LATER, (_WAITING, _ATTEMPTS), arguments, TIMEOUT_S)

    async def done(self, event: Claimed) -> None:
        """Forget the event: it was delivered, or is given up."""
        keys = (_WAITING, _BODIES, _ATTEMPTS)
        await self._store.run(_DONE, keys, (event.id.encode(),), TIMEOUT_S)

    async def gone(self) -> None:
        """Note that the receiver wants no more: nothing is claimed for it for a day."""
        await self._store.execute(b"SET", self._gone, b"1", b"EX", GONE_S, timeout_s=TIMEOUT_S)
