-- Everything that plain.lua has not: sliding windows, leases, calendars of a time zone, a cost for
-- each unit, limits in the shadow, and settling.
--
-- KEYS after the states are lists of sliding windows and sorted sets of leases, one limit each; a
-- limit has one byte more, its traits: 128 in the shadow, 16 a window, 32 a lease, the rest its unit
-- ARGV[1]    what it costs in each unit, 4 bytes each, signed
-- ARGV[n+3]  n is the number of keys: the id under which leases are taken; empty: none is
-- ARGV[n+4]  calendars
-- ARGV[n+5]  nobody asks: what was charged so many µs ago at most is settled by the costs, which
--            give back where they are negative, and charge as far as one capacity below nothing
-- reply      of a shadow that would refuse, remaining is -1 less what remains; the id at the end

local LIMIT, LIMIT_SIZE = '>I6I4I7I4', 22
local SHADOW, WINDOW, LEASE = 128, 1, 2
local lease_id, age = ARGV[#KEYS + 3], tonumber(ARGV[#KEYS + 5])
local others, rest, asked, shadows = {}, {}, 0, {}

local function traits_of(packed, position)
  local traits = string.byte(packed, position * LIMIT_SIZE)
  local is_shadow = traits >= SHADOW
  if is_shadow then traits = traits - SHADOW end
  local want = read('>i4', ARGV[1], traits % 16 * 4 + 1)
  return floor(traits / 16), want, is_shadow
end

local states_count = 0
while states_count < #KEYS and traits_of(ARGV[states_count + 3], 1) == 0 do
  states_count = states_count + 1
end
local cost = (age or lease_id ~= '' or string.find(ARGV[1], '[^%z]')) and 1 or 0

-- Whether one limit refuses, and whether all so far have admitted.
local function judged(has_room, want, is_shadow, admitted)
  local refuses = not age and want > 0 and not has_room
  asked = asked + 1
  if refuses and is_shadow then shadows[#shadows + 1] = asked * 2 end
  return refuses, admitted and (is_shadow or not refuses)
end

function others.judged(index, position, debt, emission, full, admitted)
  local _, want, is_shadow = traits_of(ARGV[index + 2], position)
  return judged(debt + want * emission <= full, want, is_shadow, admitted)
end

-- What a bucket or quota owes after the request, and what the request wanted of it.
function others.charged(index, position, limit, admitted)
  local _, rate, emission, capacity, debt, close, refuses = unpack(limit)
  local _, want = traits_of(ARGV[index + 2], position)
  if not age then
    return admitted and not refuses and debt + want * emission or debt, want
  end
  -- What was spent in a window that has ended is not given back to the next.
  if want < 0 and close and now - age < window(rate, close - 1) then return debt, want end
  return max(0, min(debt + want * emission, max(debt, 2 * capacity * emission))), want
end

function others.measured(admitted)
  for index = states_count + 1, #KEYS do
    local key, packed = KEYS[index], ARGV[index + 2]
    local _, _, duration, capacity = read(LIMIT, packed)
    local kind, want, is_shadow = traits_of(packed, 1)
    local limit = {key = key, duration = duration, capacity = capacity, want = want}
    local has_room
    if kind == WINDOW then
      limit.window = sliding_window(key, duration, capacity)
      has_room = limit.window.spent + want <= capacity
    else
      limit.held, limit.want = leases_held(key), lease_id ~= '' and 1 or 0
      has_room = limit.held < capacity
    end
    limit.refuses, admitted = judged(has_room, limit.want, is_shadow, admitted)
    rest[#rest + 1] = limit
  end
  return admitted
end

local function settled(limit)
  if limit.held then
    if lease_id ~= '' then call('ZREM', limit.key, lease_id) end
  elseif limit.want < 0 then
    window_refunded(limit.window, -limit.want, now - age)
  else
    local amount = min(limit.want, 2 * limit.capacity - limit.window.spent)
    if amount > 0 then window_charged(limit.window, amount) end
  end
end

-- Remaining, and µs until there is more; of what refuses, until what was wanted has room.
local function answered(limit, is_charged)
  local capacity, want = limit.capacity, limit.want
  if limit.held then
    local held = limit.held
    if is_charged then
      lease_taken(limit.key, lease_id, limit.duration)
      held = held + 1
    end
    return max(0, capacity - held), lease_wait(limit.key, limit.refuses and held - capacity or 0)
  end
  if is_charged then window_charged(limit.window, want) end
  local remaining = max(0, capacity - limit.window.spent)
  if limit.window.spent == 0 then return remaining, 0 end
  if not limit.refuses or want > capacity then want = remaining + 1 end
  return remaining, window_wait(limit.window, want)
end

function others.spent(admitted, reply, place)
  for _, limit in ipairs(rest) do
    local remaining, wait = 0, 0
    if age then
      settled(limit)
    else
      local is_charged = admitted and limit.want > 0 and not limit.refuses
      remaining, wait = answered(limit, is_charged)
    end
    reply[place + 1], reply[place + 2], place = remaining, ceil(wait / SECOND), place + 2
  end
  for _, at in ipairs(shadows) do reply[at] = -1 - reply[at] end
  if admitted and lease_id ~= '' then reply[place + 1] = lease_id end
end
