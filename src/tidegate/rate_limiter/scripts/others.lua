-- Everything that plain.lua has not: sliding windows, leases, calendars of a time zone, a cost for
-- each unit, limits in the shadow, and settling.
--
-- KEYS after the states are lists of sliding windows and sorted sets of leases, one limit each; a
-- limit has one byte more, its traits: 128 in the shadow, 16 a window, 32 a lease, the rest its unit
-- ARGV[1]    what it costs in each unit, 4 bytes each, signed
-- ARGV[n+3]  n is the number of keys: the id under which leases are taken; empty: none is
-- ARGV[n+4]  calendars
-- ARGV[n+5]  nobody asks: what was charged so many µs ago at most is settled by the costs, which
--            give back where they are negative, and charge as far as one capacity below nothing;
--            'look': it is refused, whatever is left, and told what it would have met
-- reply      of a shadow that would refuse, remaining is -1 less what remains; the id at the end

local LIMIT, LIMIT_SIZE = '>I6I4I7I4', 22
local SHADOW, WINDOW, LEASE = 128, 1, 2
local lease_id, age = ARGV[#KEYS + 3], tonumber(ARGV[#KEYS + 5])
local is_look = ARGV[#KEYS + 5] == 'look'
local byte, min = string.byte, math.min
local others, rest, shadows = {}, {}, {}
local windows, leases
local wants, asked, answered_count = {false}, 0, 0 -- what each limit is asked for, in their order

local states_count = 0
while states_count < #KEYS and byte(ARGV[states_count + 3], LIMIT_SIZE) % SHADOW < 16 do
  states_count = states_count + 1
end
local cost = (age or lease_id ~= '' or string.find(ARGV[1], '[^%z]')) and 1 or 0

local function traits_of(packed, position)
  local traits = byte(packed, position * LIMIT_SIZE)
  local is_shadow = traits >= SHADOW
  if is_shadow then traits = traits - SHADOW end
  return read('>i4', ARGV[1], traits % 16 * 4 + 1), is_shadow, floor(traits / 16)
end

-- Whether one limit refuses, and whether all so far have admitted.
local function judged(has_room, want, is_shadow, admitted)
  local refuses = not age and want > 0 and not has_room
  asked = asked + 1
  wants[asked] = want
  if refuses and is_shadow then shadows[#shadows + 1] = asked * 2 end
  return refuses, admitted and (is_shadow or not refuses)
end

function others.judged(index, position, debt, emission, full, admitted)
  local want, is_shadow = traits_of(ARGV[index + 2], position)
  return judged(debt + want * emission <= full, want, is_shadow, admitted)
end

-- What the next bucket or quota owes after the request, and what the request wanted of it.
function others.charged(debt, rate, emission, capacity, close, refuses, admitted)
  answered_count = answered_count + 1
  local want = wants[answered_count]
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
    local want, is_shadow, kind = traits_of(packed, 1)
    local limit = {key = key, duration = duration, capacity = capacity, want = want}
    local has_room
    if kind == WINDOW then
      windows = windows or sliding_windows()
      limit.window = windows.measured(key, duration, capacity)
      has_room = limit.window.spent + want <= capacity
    else
      leases = leases or leases_of_requests()
      limit.held, limit.want = leases.held(key), lease_id ~= '' and 1 or 0
      has_room = limit.held < capacity
    end
    limit.refuses, admitted = judged(has_room, limit.want, is_shadow, admitted)
    rest[#rest + 1] = limit
  end
  return admitted and not is_look
end

local function settled(limit)
  if limit.held then
    if lease_id ~= '' then call('ZREM', limit.key, lease_id) end
  elseif limit.want < 0 then
    windows.refund(limit.window, -limit.want, now - age)
  else
    local amount = min(limit.want, 2 * limit.capacity - limit.window.spent)
    if amount > 0 then windows.charge(limit.window, amount) end
  end
end

-- Remaining, and µs until there is more; of what refuses, until what was wanted has room.
local function answered(limit, is_charged)
  local capacity, want = limit.capacity, limit.want
  if limit.held then
    local held = limit.held
    if is_charged then
      leases.take(limit.key, lease_id, limit.duration)
      held = held + 1
    end
    return max(0, capacity - held), leases.wait(limit.key, limit.refuses and held - capacity or 0)
  end
  if is_charged then windows.charge(limit.window, want) end
  local remaining = max(0, capacity - limit.window.spent)
  if limit.window.spent == 0 then return remaining, 0 end
  if not limit.refuses or want > capacity then want = remaining + 1 end
  return remaining, windows.wait(limit.window, want)
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
