-- Makes an entry visible, or refuses; the one place where entries come into being.
--
-- KEYS[1]   entry
-- KEYS[2-5] LAST_USE, EXPIRY, HELD, BYTES
-- KEYS[6+]  generations
-- ARGV      1 variant, 2 names of Vary, 3 the packed entry, 4 its bytes, 5 seconds to keep it,
--           6 bytes of all entries at most, 7 body id or '', 8 the body's length,
--           9 the generations under which it was fetched, 10 variants at most,
--           11 prefix of bodies, 12 prefix of readings, 13 seconds to keep the accounts
-- reply     'stored', or why not
--
-- Bytes are accounted before they are there: what expired is taken out of the accounts first, then
-- what was used longest ago, a bounded number of entries a call. If that is not enough, this entry
-- is not stored, so that the sum never exceeds the bound.

local entry, last_use, expiry, held, bytes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local variant, vary, size, keep = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local limit, body = tonumber(ARGV[6]), ARGV[7]
local EXPIRED_MAX, EVICTED_MAX, READING_S = 32, 128, 60

local function drop(id)
  -- Who is reading it may go on for a while.
  if redis.call('EXISTS', ARGV[12] .. id) == 1 then
    redis.call('EXPIRE', ARGV[11] .. id, READING_S)
  else
    redis.call('UNLINK', ARGV[11] .. id)
  end
end

local function forget(name)
  redis.call('ZREM', last_use, name)
  redis.call('ZREM', expiry, name)
  local record = redis.call('HGET', held, name)
  if not record then
    return
  end
  redis.call('HDEL', held, name)
  local counted, id = string.match(record, '^(%d+):(.*)$')
  redis.call('DECRBY', bytes, counted)
  local cut = string.find(name, '\n', 1, true)
  local key = string.sub(name, 1, cut - 1)
  redis.call('HDEL', key, string.sub(name, cut + 1))
  if redis.call('HLEN', key) == 1 then
    redis.call('UNLINK', key) -- nothing is left but what it varied by
  end
  if id ~= '' and id ~= body then
    drop(id)
  end
end

local function refused(why)
  if body ~= '' then
    drop(body)
  end
  return why
end

local seen = {}
for i = 6, #KEYS do
  seen[#seen + 1] = redis.call('GET', KEYS[i]) or '-'
end
if table.concat(seen, ',') ~= ARGV[9] then
  return refused('overtaken')
end
if body ~= '' and redis.call('STRLEN', ARGV[11] .. body) ~= tonumber(ARGV[8]) then
  return refused('incomplete')
end
if size > limit then
  return refused('too large')
end

local names, listed = '', ''
local directory = redis.call('HGET', entry, 'v')
if directory then
  names, listed = string.match(directory, '^(.-)\n(.*)$')
end
-- An entry that expired by itself may still be in the accounts.
local member = entry .. '\n' .. variant
forget(member)
local variants = {}
for name in string.gmatch(listed, '[^ ]+') do
  if names ~= vary then
    forget(entry .. '\n' .. name)
  elseif name ~= variant then
    variants[#variants + 1] = name
  end
end
while #variants >= tonumber(ARGV[10]) do
  forget(entry .. '\n' .. table.remove(variants, 1))
end
variants[#variants + 1] = variant

local now = redis.call('TIME')
for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now[1], 'LIMIT', 0, EXPIRED_MAX)) do
  forget(name)
end
for _ = 1, EVICTED_MAX do
  if tonumber(redis.call('GET', bytes) or '0') + size <= limit then
    break
  end
  local oldest = redis.call('ZRANGE', last_use, 0, 0)[1]
  if not oldest then
    redis.call('DEL', bytes) -- the accounts expired with nothing left in them
    break
  end
  forget(oldest)
end
if tonumber(redis.call('GET', bytes) or '0') + size > limit then
  return refused('full')
end

redis.call('HSET', entry, 'v', vary .. '\n' .. table.concat(variants, ' '), variant, ARGV[3])
if redis.call('TTL', entry) < keep then
  redis.call('EXPIRE', entry, keep)
end
if body ~= '' then
  redis.call('EXPIRE', ARGV[11] .. body, keep)
end
redis.call('ZADD', last_use, now[1] * 1000 + math.floor(now[2] / 1000), member)
redis.call('ZADD', expiry, now[1] + keep, member)
redis.call('HSET', held, member, ARGV[4] .. ':' .. body)
redis.call('INCRBY', bytes, size)
for i = 2, 5 do
  redis.call('EXPIRE', KEYS[i], ARGV[13])
end
return 'stored'
