-- Requests in flight are a sorted set: ids of leases by when they end, on the store's clock. What
-- has ended counts no more, whether or not it is still there.

local function number(value) return string.format('%.0f', value) end

-- After leases have been put that last for `duration`: nothing lasts longer, though the clock may
-- have gone back, and the set ends with the last of them.
local function leases_kept(key, duration)
  local ends = now + duration
  local later = call('ZRANGEBYSCORE', key, '(' .. number(ends), '+inf')
  for _, id in ipairs(later) do call('ZADD', key, number(ends), id) end
  if is_server_time then call('PEXPIREAT', key, ceil(ends / 1000)) end
end

local function leases_held(key)
  return call('ZCOUNT', key, '(' .. number(now), '+inf')
end

-- In how many µs the lease at `rank`, the first is 0, ends at the latest.
local function lease_wait(key, rank)
  local found = call(
    'ZRANGEBYSCORE', key, '(' .. number(now), '+inf', 'WITHSCORES', 'LIMIT', rank, 1
  )
  return found[2] and tonumber(found[2]) - now or 0
end

local function lease_taken(key, id, duration)
  call('ZREMRANGEBYSCORE', key, '-inf', number(now))
  call('ZADD', key, number(now + duration), id)
  leases_kept(key, duration)
end
