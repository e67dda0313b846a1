-- One decision over all limits of a caller, all or nothing, on the store's clock.
--
-- KEYS     states: the key's own, the tenant's (one hash slot); either may be left out
-- ARGV[1]  cost, a whole number of at least 1; 0 asks without spending
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
-- Hot, and what a script defines is made anew at each call: few functions, one array a limit.

local LIMIT, RECORD, SIZE = '>I6I4I7I4', '>I6I7I4I4', 21
local QUOTA = 0 -- identity % 2; a bucket is 1
local SECOND = 1000000
local STEP_BACK = 60 * SECOND -- a clock this far behind a quota's window waits for it
local KEPT_MAX = 8 -- records of limits that this caller does not have (any more)
local floor, ceil, max = math.floor, math.ceil, math.max
local read, write = struct.unpack, struct.pack

-- Start and end, in µs, of the window of `period` seconds (0: a calendar month) around `time`, UTC.
local function window(period, time)
  if period > 0 then
    local length = period * SECOND
    local start = time - time % length
    return start, start + length
  end
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

-- Decide -------------------------------------------------------------------------------------

local cost, now = tonumber(ARGV[1]), tonumber(ARGV[2])
local is_server_time = now == nil
if is_server_time then
  local time = redis.call('TIME')
  now = time[1] * SECOND + time[2]
end

local admitted, mended = true, false
local states, found, counted = {}, {}, {}
for index = 1, #KEYS do
  local state, packed = redis.call('GET', KEYS[index]) or '', ARGV[index + 2]
  local limits, known = {}, 0
  for position = 1, #packed / SIZE do
    local identity, rate, emission, capacity = read(LIMIT, packed, (position - 1) * SIZE + 1)
    local at, at_rate, part
    for offset = 1, #state, SIZE do
      local other, other_at, other_rate, other_part = read(RECORD, state, offset)
      if other == identity then
        at, at_rate, part, known = other_at, other_rate, other_part, known + 1
        break
      end
    end
    local full, debt, close = capacity * emission, 0, false
    if identity % 2 == QUOTA then
      local _, window_end = window(rate, now)
      close = window_end
      if at and at > now then
        debt = part
        if at > close and window(rate, at - 1) - now <= STEP_BACK then
          -- The clock went back a little: the window stays, so that nothing is granted twice.
          close = at
        elseif at ~= close then
          -- It went back far, or the period changed: what is spent counts in the window of now.
          mended = true
        end
      end
    elseif at and at > now then
      debt = (at - now) * rate
      if at_rate == rate then debt = debt - part end
      if debt > full then
        -- The clock went back, or the plan gives less: empty, but never more than that.
        debt, mended = full, true
      end
    end
    local refuses = debt + cost * emission > full
    admitted = admitted and not refuses
    limits[position] = {identity, rate, emission, capacity, debt, close, refuses}
  end
  states[index], found[index], counted[index] = state, known, limits
end

-- Spend and answer ---------------------------------------------------------------------------

local spent = admitted and cost or 0
local reply, place = {admitted and 1 or 0}, 1
for index = 1, #KEYS do
  local limits, state, records, latest = counted[index], states[index], '', 0
  for position = 1, #limits do
    local identity, rate, emission, capacity, debt, close, refuses = unpack(limits[position])
    local remaining, seconds, at, part = capacity, 0, close, nil
    debt = debt + spent * emission
    if close then
      remaining, seconds, part = max(0, capacity - debt), ceil((close - now) / SECOND), debt
    elseif debt > 0 then
      local room = capacity * emission - debt
      remaining = floor(room / emission)
      local wanted = (refuses and cost <= capacity) and cost or remaining + 1
      seconds = ceil(ceil((wanted * emission - room) / rate) / SECOND)
      local time = ceil(debt / rate)
      at, part = now + time, time * rate - debt
    end
    if debt > 0 then
      records, latest = records .. write(RECORD, identity, at, rate, part), max(latest, at)
    end
    reply[place + 1], reply[place + 2], place = remaining, seconds, place + 2
  end
  -- A refusal is written only where the clock or the plan changed, so that waiting helps.
  if spent > 0 or (mended and records ~= '') then
    if #state > found[index] * SIZE then
      -- Limits of another plan, or of this caller no more: they count on until they end.
      local mine, count = {}, 0
      for _, limit in ipairs(limits) do mine[limit[1]] = true end
      for offset = 1, #state, SIZE do
        local identity, at = read(RECORD, state, offset)
        if not mine[identity] and at > now and count < KEPT_MAX then
          records = records .. string.sub(state, offset, offset + SIZE - 1)
          latest, count = max(latest, at), count + 1
        end
      end
    end
    if is_server_time then
      -- Rounded up: a state must not end before what it says does.
      redis.call('SET', KEYS[index], records, 'PXAT', ceil(latest / 1000))
    else
      redis.call('SET', KEYS[index], records)
    end
  end
end
return reply
