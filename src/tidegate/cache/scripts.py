"""The steps of the cache that the store makes as one: commit, write, read, touch."""

from importlib.resources import files
from typing import Final

from tidegate.store import Script

COMMIT: Final = Script.of("cache_commit", files(__package__).joinpath("commit.lua").read_text())

WRITE: Final = Script.of(
    "cache_write",
    """
-- KEYS: body; ARGV: position, piece, seconds until a body that nobody finishes is gone
-- reply: its length, or -1 if this piece does not follow on what is there
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) then
  return -1
end
local length = redis.call('APPEND', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return length
""",
)

READ: Final = Script.of(
    "cache_read",
    """
-- KEYS: body, reading; ARGV: position, length, seconds for which the next piece shall be there
local piece = redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)
if ARGV[1] + #piece < redis.call('STRLEN', KEYS[1]) then
  redis.call('SET', KEYS[2], '', 'EX', ARGV[3])
  if redis.call('TTL', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  end
end
return piece
""",
)

TOUCH: Final = Script.of(
    "cache_touch",
    """
-- KEYS: LAST_USE; ARGV: member
local now = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'XX', now[1] * 1000 + math.floor(now[2] / 1000), ARGV[1])
""",
)
