-- One decision over all limits of a request, all or nothing, on the store's clock.
--
-- KEYS     states, in one hash slot: a packed string each
-- ARGV[1]  what it costs (plain.lua, others.lua)
-- ARGV[2]  now (clock.lua)
-- ARGV[3+] for each key its limits, LIMIT_SIZE bytes each: identity, rate, emission, capacity
-- reply    {1 or 0, remaining, seconds, remaining, seconds, ...} in the order of the limits;
--          seconds: until more is available; for a limit that refuses, until the cost is;
--          of plain limits that refuse, at the end the µs until none of them does
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
-- Two scripts have this text (scripts.py). In one of them `others` is nil, so that a request of which
-- nothing but plain buckets and quotas is asked pays for no more.

local RECORD, SIZE = '>I6I7I4I4', 21
local QUOTA = 0 -- identity % 2; a bucket is 1
local OVERDRAWN = 2 ^ 52 -- on top of the `at` of a bucket that owes more than it holds
local STEP_BACK = 60 * SECOND -- a clock this far behind a quota's window waits for it
local KEPT_MAX = 8 -- records of limits that this request does not have (any more)

-- Decide -------------------------------------------------------------------------------------

local admitted, mended = true, false
-- Tables begin with room for one: one state with one limit, the most frequent, then grows none.
local states, found, counted = {''}, {0}, {false}
for index = 1, states_count do
  local state, packed = call('GET', KEYS[index]) or '', ARGV[index + 2]
  local limits, known = {false}, 0
  for position = 1, #packed / LIMIT_SIZE do
    local offset = (position - 1) * LIMIT_SIZE + 1
    local identity, rate, emission, capacity = read(LIMIT, packed, offset)
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
        -- The clock went back, or the plan gives less: empty, but never more than that. Unless
        -- it owes: then by as much as it holds.
        local most = full
        if at >= OVERDRAWN then
          at, most = at - OVERDRAWN, 2 * full
          debt = max(0, (at - now) * rate - (at_rate == rate and part or 0))
        end
        if debt > most then debt, mended = most, true end
      end
    end
    local refuses
    if others then
      refuses, admitted = others.judged(index, position, debt, emission, full, admitted)
    else
      refuses = debt + cost * emission > full and cost > 0
      admitted = admitted and not refuses
    end
    limits[position] = {identity, rate, emission, capacity, debt, close, refuses}
  end
  states[index], found[index], counted[index] = state, known, limits
end
if others then admitted = others.measured(admitted) end

-- Spend and answer ---------------------------------------------------------------------------

local spent = admitted and cost or 0
local reply, place, longest = {admitted and 1 or 0, 0, 0}, 1, 0
for index = 1, states_count do
  local limits, state, records, latest = counted[index], states[index], '', 0
  for position = 1, #limits do
    local identity, rate, emission, capacity, debt, close, refuses = unpack(limits[position])
    local remaining, wait, at, part, wanted, owes = capacity, 0, close, nil, cost, false
    if others then
      debt, wanted = others.charged(debt, rate, emission, capacity, close, refuses, admitted)
    else
      debt = debt + spent * emission
    end
    if close then
      remaining, wait, part = max(0, capacity - debt), close - now, debt
    elseif debt > 0 then
      local room = capacity * emission - debt
      remaining = floor(room / emission)
      if remaining < 0 then remaining, owes = 0, true end
      if not refuses or wanted == 0 or wanted > capacity then wanted = remaining + 1 end
      wait = ceil((wanted * emission - room) / rate)
      local time = ceil(debt / rate)
      at, part = now + time, time * rate - debt
    end
    if debt > 0 then
      if at > latest then latest = at end
      if owes then at = at + OVERDRAWN end
      records = records .. write(RECORD, identity, at, rate, part)
    end
    if refuses and wait > longest then longest = wait end
    reply[place + 1], reply[place + 2], place = remaining, ceil(wait / SECOND), place + 2
  end
  -- A refusal is written only where the clock or the plan changed, so that waiting helps.
  if spent > 0 or (mended and records ~= '') then
    if #state > found[index] * SIZE then
      -- Limits of another plan, or of this caller no more: they count on until they end.
      local mine, count = {}, 0
      for _, limit in ipairs(limits) do mine[limit[1]] = true end
      for offset = 1, #state, SIZE do
        local identity, at = read(RECORD, state, offset)
        local ends = at >= OVERDRAWN and at - OVERDRAWN or at
        if not mine[identity] and ends > now and count < KEPT_MAX then
          records = records .. string.sub(state, offset, offset + SIZE - 1)
          latest, count = max(latest, ends), count + 1
        end
      end
    end
    if records == '' then
      call('DEL', KEYS[index])
    elseif is_server_time then
      -- Rounded up: a state must not end before what it says does.
      call('SET', KEYS[index], records, 'PXAT', ceil(latest / 1000))
    else
      call('SET', KEYS[index], records)
    end
  end
end
if others then
  others.spent(admitted, reply, place)
elseif not admitted and cost > 0 then
  reply[place + 1] = longest
end
return reply
