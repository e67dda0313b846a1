"""Where identity lies in the store, and how tenants and plans are written there in one step.

The records that requests read (`tg:key:`, `tg:tenant:`, `tg:plan:`) are hashes under names that
need no index to find; tracking follows these prefixes. The indexes serve listing, unique names
and revoking, share one hash tag, and lie outside the tracked prefixes, so that a listing costs
the workers nothing. Every script changes record and index together: a key that opens something
is always one that can be listed and revoked. `created_at` is the store's clock.
"""

from typing import Final

from tidegate.store import Script, Store

ADMIN_TIMEOUT_S: Final = 2.0
"""For what people ask: they rather wait than ask again."""

KEY_PREFIX: Final = b"tg:key:"
TENANT_PREFIX: Final = b"tg:tenant:"
PLAN_PREFIX: Final = b"tg:plan:"
TRACKED_PREFIXES: Final = (KEY_PREFIX, TENANT_PREFIX, PLAN_PREFIX)

KEYS: Final = b"tg:{identity}:keys"
"""Sorted set of `tenant/name`."""
KEY_DIGESTS: Final = b"tg:{identity}:key-digests"
"""Hash: `tenant/name` to the digest in hex."""
KEY_IDS: Final = b"tg:{identity}:key-ids"
"""Hash: key id to `tenant/name`."""
TENANTS: Final = b"tg:{identity}:tenants"
"""Sorted set of names."""
PLANS: Final = b"tg:{identity}:plans"
"""Sorted set of names."""
PLAN_TENANTS: Final = b"tg:{identity}:plan-tenants"
"""Hash: plan to the number of stored tenants on it."""
REVISIONS: Final = b"tg:{identity}:revisions"
"""Counts changes of tenants and plans, so that no two states of a name share a revision."""

ANY: Final = ""
"""Expected revision of who does not mind what the change replaces."""
ABSENT: Final = "absent"
"""Expected revision of who wants to create, never to replace."""


def key_record(store: Store, digest: bytes) -> bytes:
    return KEY_PREFIX + _tag(store) + digest.hex().encode()


def tenant_record(store: Store, name: str) -> bytes:
    return TENANT_PREFIX + _tag(store) + name.encode()


def plan_record(store: Store, name: str) -> bytes:
    return PLAN_PREFIX + _tag(store) + name.encode()


def _tag(store: Store) -> bytes:
    """On a Cluster records lie in the slot of their indexes, since no script reaches two slots."""
    return b"{identity}:" if store.is_cluster else b""


PUT_TENANT: Final = Script.of(
    "identity_put_tenant",
    """
-- KEYS: tenant record, plan record, TENANTS, PLAN_TENANTS, KEYS, REVISIONS
-- ARGV: name, plan, '1' if the plan is the file's, expected revision, limits
local before = redis.call('HGET', KEYS[1], 'plan')
if ARGV[4] == 'absent' then
  if before then return 'changed' end
elseif ARGV[4] ~= '' and redis.call('HGET', KEYS[1], 'revision') ~= ARGV[4] then
  return 'changed'
end
if ARGV[3] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  return 'no plan'
end
if not before and redis.call('ZLEXCOUNT', KEYS[5], '[' .. ARGV[1] .. '/', '(' .. ARGV[1] .. '0') > 0
then
  return 'keys left'
end
if before and redis.call('HINCRBY', KEYS[4], before, -1) == 0 then
  redis.call('HDEL', KEYS[4], before)
end
redis.call('HINCRBY', KEYS[4], ARGV[2], 1)
local revision = redis.call('INCR', KEYS[6])
local created = redis.call('HSETNX', KEYS[1], 'created_at', redis.call('TIME')[1])
redis.call('HSET', KEYS[1], 'plan', ARGV[2], 'limits', ARGV[5], 'revision', revision)
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return {tonumber(redis.call('HGET', KEYS[1], 'created_at')), revision, created}
""",
)

DELETE_TENANT: Final = Script.of(
    "identity_delete_tenant",
    """
-- KEYS: tenant record, TENANTS, PLAN_TENANTS; ARGV: name
local plan = redis.call('HGET', KEYS[1], 'plan')
if not plan then
  return 0
end
if redis.call('HINCRBY', KEYS[3], plan, -1) == 0 then
  redis.call('HDEL', KEYS[3], plan)
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
""",
)

PUT_PLAN: Final = Script.of(
    "identity_put_plan",
    """
-- KEYS: plan record, PLANS, REVISIONS
-- ARGV: name, limits, expected revision, allow, routes, on_store_failure
if ARGV[3] == 'absent' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 'changed' end
elseif ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'revision') ~= ARGV[3] then
  return 'changed'
end
local revision = redis.call('INCR', KEYS[3])
local created = redis.call('HSETNX', KEYS[1], 'created_at', redis.call('TIME')[1])
redis.call('HSET', KEYS[1], 'limits', ARGV[2], 'allow', ARGV[4], 'routes', ARGV[5],
  'on_store_failure', ARGV[6], 'revision', revision)
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {tonumber(redis.call('HGET', KEYS[1], 'created_at')), revision, created}
""",
)

DELETE_PLAN: Final = Script.of(
    "identity_delete_plan",
    """
-- KEYS: plan record, PLANS, PLAN_TENANTS; ARGV: name
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  return 'in use'
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
""",
)
