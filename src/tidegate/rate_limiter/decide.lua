-- One decision over all limits of a caller, all or nothing, on the store's clock.
--
-- KEYS     states: the key's own, the tenant's (one hash slot); either may be left out
-- ARGV[1]  cost, a whole number of at least 1
-- ARGV[2]  now in µs since 1970, for tests only; empty: the store's own time
-- ARGV[3+] for each state its limits, 21 bytes each: identity, rate, emission, capacity
-- reply    {1 or 0, remaining, seconds, remaining, seconds, ...} in the order of the limits;
--          seconds: until more is available; for a limit that refuses, until the cost is
--
-- A bucket is a debt that drains (GCRA): `rate` units a µs; a token weighs `emission` units. Its
-- record keeps when the debt will be nothing (`at`, in whole µs, less `part` units): the passing of
-- time needs no writing, a debt is exact over any number of requests, and a record says itself
-- when it is of no more use. A quota keeps the end of its window (`at`) and what is spent (`part`).
--
-- All numbers are whole and below 2^53. The quotient of two such numbers, the dividend at most
-- 2^52, is never rounded across a whole number: floor and ceil of it are exact.
--
-- Hot, hence one table a limit, made at once, and no function for what is short.

local LIMIT, RECORD, SIZE = '>I6I4I7I4', '>I6I7I4I4', 21
local QUOTA = 0 -- identity % 2; a bucket is 1
local SECOND = 1000000
local STEP_BACK = 60 * SECOND -- a clock this far behind a quota's window waits for it
local KEPT_MAX = 8 -- records of limits that this caller does not have (any more)
local floor, ceil, max = math.floor, math.ceil, math.max
local pack, unpack = struct.pack, struct.unpack

-- Start and end, in µs, of the UTC calendar month around `time`.
local function month_window(time)
  -- Days from 1970 to the first day of a month, both Gregorian; January of year 0 is month 0.
  -- Years are taken to begin in March, so that the leap day is the last.
  local function first_day(month)
    local year = floor((month - 2) / 12)
    local since_march = month - 2 - year * 12
    return year * 365 + floor(year / 4) - floor(year / 100) + floor(year / 400)
      + floor((153 * since_march + 2) / 5) - 719468
  end
  local day = floor(time / (86400 * SECOND))
  local month = 1970 * 12 + floor(day / 30.436875)
  while first_day(month) > day do month = month - 1 end
  while first_day(month + 1) <= day do month = month + 1 end
  return first_day(month) * 86400 * SECOND, first_day(month + 1) * 86400 * SECOND
end

-- Start and end, in µs, of the window of `period` seconds (0: a calendar month) around `time`.
local function window(period, time)
  if period == 0 then return month_window(time) end
  local length = period * SECOND
  local start = time - time % length
  return start, start + length
end

-- What is spent in the window of now, the window's end, and whether the record was at odds with
-- it. After a small step back of the clock the window stays, so that nothing is granted twice;
-- after a large one, or a change of the period, what was spent counts in the window of now.
local function quota_spent(period, at, part, now)
  local start, close = window(period, now)
  if not at or at <= now then return 0, close, false end
  if at == close then return part, close, false end
  if at > close and window(period, at - 1) - now <= STEP_BACK then return part, at, false end
  return part, close, true
end

-- Records of other limits that still count, since a gateway with another plan may be at work, and
-- when the last of them is of no more use.
local function kept(state, limits, now)
  local mine, others, latest, count = {}, '', 0, 0
  for _, limit in ipairs(limits) do mine[limit.identity] = true end
  for offset = 1, #state, SIZE do
    local identity, at = unpack(RECORD, state, offset)
    if not mine[identity] and at > now and count < KEPT_MAX then
      others = others .. string.sub(state, offset, offset + SIZE - 1)
      latest, count = max(latest, at), count + 1
    end
  end
  return others, latest
end

local cost, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local is_server_time = now == nil
if is_server_time then
  local time = redis.call('TIME')
  now = time[1] * SECOND + time[2]
end

local admitted, mended = true, false
local counted = {}
for index = 1, #KEYS do
  local state, packed = redis.call('GET', KEYS[index]) or '', ARGV[index + 2]
  local limits, found = {state = state, found = 0}, 0
  for position = 1, #packed / SIZE do
    local identity, rate, emission, capacity = unpack(LIMIT, packed, (position - 1) * SIZE + 1)
    local at, at_rate, part
    for offset = 1, #state, SIZE do
      local other, a, r, p = unpack(RECORD, state, offset)
      if other == identity then
        at, at_rate, part, found = a, r, p, found + SIZE
        break
      end
    end
    local full, debt, close, is_mended = capacity * emission, 0, nil, false
    if identity % 2 == QUOTA then
      debt, close, is_mended = quota_spent(rate, at, part, now)
    elseif at and at > now then
      debt = (at - now) * rate
      if at_rate == rate then debt = debt - part end
      if debt > full then
        -- The clock went back, or the plan gives less: empty, but never more than that.
        debt, is_mended = full, true
      end
    end
    local refuses = debt + cost * emission > full
    admitted, mended = admitted and not refuses, mended or is_mended
    limits[position] = {
      identity = identity, rate = rate, emission = emission, capacity = capacity,
      debt = debt, close = close, refuses = refuses,
    }
  end
  limits.found = found
  counted[index] = limits
end

local spent = admitted and cost or 0
local reply, place = {admitted and 1 or 0}, 1
for index = 1, #KEYS do
  local limits, records, latest = counted[index], '', 0
  for position = 1, #limits do
    local limit = limits[position]
    local rate, emission, capacity, close = limit.rate, limit.emission, limit.capacity, limit.close
    local debt = limit.debt + spent * emission
    local remaining, seconds = capacity, 0
    if close then
      remaining, seconds = max(0, capacity - debt), ceil((close - now) / SECOND)
      if debt > 0 then
        records, latest = records .. pack(RECORD, limit.identity, close, rate, debt), max(latest, close)
      end
    elseif debt > 0 then
      local time = ceil(debt / rate)
      local at = now + time
      records = records .. pack(RECORD, limit.identity, at, rate, time * rate - debt)
      latest = max(latest, at)
      local room = capacity * emission - debt
      remaining = floor(room / emission)
      local wanted = (limit.refuses and cost <= capacity) and cost or remaining + 1
      seconds = ceil(ceil((wanted * emission - room) / rate) / SECOND)
    end
    reply[place + 1], reply[place + 2], place = remaining, seconds, place + 2
  end
  -- A refusal is written only where the clock or the plan changed, so that waiting helps.
  if admitted or (mended and records ~= '') then
    if #limits.state > limits.found then
      local others, others_latest = kept(limits.state, limits, now)
      records, latest = records .. others, max(latest, others_latest)
    end
    if is_server_time then
      -- Rounded up: a state must not end before what it says does.
      redis.call('SET', KEYS[index], records, 'PXAT', string.format('%.0f', ceil(latest / 1000)))
    else
      redis.call('SET', KEYS[index], records)
    end
  end
end
return reply
