"""The life of a stored key, each step one script: create, rotate, rename, limit, revoke.

A key is a name, an id and one secret that is current; each secret has a record of its own, found by
its digest. Rotating makes a new record and lets the store end the old one by expiry, on its own
clock. A key's other secrets are listed in the current record (`older`), so that renaming, limiting
and revoking reach all of them. Every script first checks that the digest it was given is still the
current one: whoever changed the key meanwhile has changed that.
"""

from typing import Final

from tidegate.store import Script

OLDER_MAX: Final = 4
"""Old secrets of one key that may be valid at once, beside the current one."""

CREATE_KEY: Final = Script.of(
    "identity_create_key",
    """
-- KEYS: key record, tenant record, KEYS, KEY_DIGESTS, KEY_IDS
-- ARGV: digest, id, tenant, name, '1' if the tenant is the file's, limits
local path = ARGV[3] .. '/' .. ARGV[4]
if ARGV[5] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  return 'no tenant'
end
if redis.call('HSETNX', KEYS[4], path, ARGV[1]) == 0 then
  return 'name taken'
end
local created_at = redis.call('TIME')[1]
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'tenant', ARGV[3], 'name', ARGV[4],
  'created_at', created_at, 'limits', ARGV[6])
redis.call('ZADD', KEYS[3], 0, path)
redis.call('HSET', KEYS[5], ARGV[2], path)
return tonumber(created_at)
""",
)

ROTATE_KEY: Final = Script.of(
    "identity_rotate_key",
    """
-- KEYS: key record, its successor, KEY_DIGESTS, records of older secrets
-- ARGV: digest, the successor's digest, tenant/name, overlap in ms, OLDER_MAX
if redis.call('HGET', KEYS[3], ARGV[3]) ~= ARGV[1] then
  return 'changed'
end
local overlap, older = tonumber(ARGV[4]), {}
if overlap > 0 then
  for index = 4, #KEYS do
    if redis.call('EXISTS', KEYS[index]) == 1 then
      older[#older + 1] = KEYS[index]
    end
  end
  if #older >= tonumber(ARGV[5]) then
    return 'too many'
  end
  older[#older + 1] = KEYS[1]
end
local time = redis.call('TIME')
local ends_at = math.ceil((time[1] * 1000 + time[2] / 1000 + overlap) / 1000)
local record = redis.call('HMGET', KEYS[1], 'id', 'tenant', 'name', 'created_at', 'limits')
redis.call('HSET', KEYS[2], 'id', record[1], 'tenant', record[2], 'name', record[3],
  'created_at', record[4], 'limits', record[5] or '', 'rotated_at', time[1],
  'older_end_at', ends_at)
redis.call('HSET', KEYS[3], ARGV[3], ARGV[2])
if overlap == 0 then
  redis.call('DEL', KEYS[1])
  for index = 4, #KEYS do
    redis.call('DEL', KEYS[index])
  end
  return {tonumber(time[1]), ends_at}
end
local digests = {}
for index, old in ipairs(older) do
  -- An end that is nearer stays: no rotation gives a secret more time.
  local left = redis.call('PTTL', old)
  if left < 0 or left > overlap then
    redis.call('PEXPIRE', old, overlap)
  end
  digests[index] = string.sub(old, -64)
end
redis.call('HSET', KEYS[2], 'older', table.concat(digests, ' '))
return {tonumber(time[1]), ends_at}
""",
)

RENAME_KEY: Final = Script.of(
    "identity_rename_key",
    """
-- KEYS: key record, KEYS, KEY_DIGESTS, KEY_IDS, records of older secrets
-- ARGV: digest, id, tenant/name, tenant/new name, new name
if redis.call('HGET', KEYS[3], ARGV[3]) ~= ARGV[1] then
  return 'changed'
end
if redis.call('HSETNX', KEYS[3], ARGV[4], ARGV[1]) == 0 then
  return 'name taken'
end
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[4])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[4])
redis.call('HSET', KEYS[1], 'name', ARGV[5])
for index = 5, #KEYS do
  -- A record that has ended must not come back, without an end.
  if redis.call('EXISTS', KEYS[index]) == 1 then
    redis.call('HSET', KEYS[index], 'name', ARGV[5])
  end
end
return 'renamed'
""",
)

LIMIT_KEY: Final = Script.of(
    "identity_limit_key",
    """
-- KEYS: key record, KEY_DIGESTS, records of older secrets; ARGV: digest, tenant/name, limits
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[1] then
  return 'changed'
end
redis.call('HSET', KEYS[1], 'limits', ARGV[3])
for index = 3, #KEYS do
  -- A record that has ended must not come back, without an end.
  if redis.call('EXISTS', KEYS[index]) == 1 then
    redis.call('HSET', KEYS[index], 'limits', ARGV[3])
  end
end
return 'limited'
""",
)

REVOKE_KEY: Final = Script.of(
    "identity_revoke_key",
    """
-- KEYS: key record, KEYS, KEY_DIGESTS, KEY_IDS, records of older secrets
-- ARGV: digest, id, tenant/name
-- The name may by now belong to another key, or the key have another secret.
if redis.call('HGET', KEYS[3], ARGV[3]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
for index = 5, #KEYS do
  redis.call('DEL', KEYS[index])
end
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[2])
return 1
""",
)
