-- A sliding window is a list of entries: a time at which something was spent, and all that had been
-- spent up to and with it. The first entry has left the window: what it says is to be subtracted.
-- An entry leaves when it is as old as the window is long. Of a large limit, what is spent within a
-- thousandth of the window shares one entry, with the later time: never too much, 0.999 at least.

-- Nothing of it is defined before a request needs it: each function costs 0.2 µs a call.

local function sliding_windows()
  local ENTRY = '>I7I6'
  local ENTRIES_MAX = 1000
  local AT, TOTAL = 1, 2

  local function entry(key, index)
    return read(ENTRY, call('LINDEX', key, index))
  end

  -- The first index from `low` on of which the field is beyond `bound`; that of `high` must be.
  local function first_beyond(key, field, bound, low, high)
    while low < high do
      local middle = floor((low + high) / 2)
      if select(field, entry(key, middle)) > bound then high = middle else low = middle + 1 end
    end
    return low
  end

  -- What is in the window now: entries `first` and later; `base` was spent before them.
  local function measured(key, length, capacity)
    local self = {key = key, length = length, capacity = capacity, spent = 0, base = 0, total = 0}
    local head = call('LRANGE', key, 0, 1)
    if #head < 2 then return self end
    local last_at, total = entry(key, -1)
    if last_at + length <= now then
      self.is_stale = true
      return self
    end
    local _, base = read(ENTRY, head[1])
    local first, first_at = 1, (read(ENTRY, head[2]))
    if first_at + length <= now then
      first = first_beyond(key, AT, now - length, 2, call('LLEN', key) - 1)
      first_at = entry(key, first)
      _, base = entry(key, first - 1)
    end
    self.first, self.first_at, self.last_at = first, first_at, last_at
    self.base, self.total, self.spent = base, total, total - base
    return self
  end

  -- In how many µs so much has left that `wanted` has room; 0 if it has.
  local function wait(self, wanted)
    local need = self.spent + wanted - self.capacity
    if need <= 0 then return 0 end
    local at = self.first_at
    if need > 1 or self.spent > self.capacity then
      local last = call('LLEN', self.key) - 1
      at = entry(self.key, first_beyond(self.key, TOTAL, self.base + need - 1, self.first, last))
    end
    return math.min(at, now) + self.length - now
  end

  local function kept_on(self)
    if is_server_time then
      call('PEXPIREAT', self.key, ceil((now + self.length) / 1000))
    end
  end

  local function charge(self, amount)
    local key, last_at = self.key, self.last_at
    if self.spent == 0 then
      -- Nothing is in it, so that the totals begin anew.
      call('DEL', key)
      call('RPUSH', key, write(ENTRY, 0, 0), write(ENTRY, now, amount))
      self.base, self.total, self.first, self.first_at = 0, 0, 1, now
    else
      if self.first > 1 then call('LTRIM', key, self.first - 1, -1) end
      local slot = self.capacity > ENTRIES_MAX and ceil(self.length / ENTRIES_MAX) or 1
      while last_at > now do
        -- The clock went back: what it had called later is now.
        call('RPOP', key)
        last_at = call('LLEN', key) > 1 and entry(key, -1) or -1
      end
      local added = write(ENTRY, now, self.total + amount)
      if last_at ~= self.last_at or floor(last_at / slot) ~= floor(now / slot) then
        call('RPUSH', key, added)
      else
        call('LSET', key, -1, added)
      end
      self.first, self.first_at = 1, (entry(key, 1))
    end
    self.total, self.spent, self.last_at = self.total + amount, self.spent + amount, now
    kept_on(self)
  end

  -- Give back what was spent at `since` or later: that of the first entry from then on, which is not
  -- later than the one in which it stands, so that nothing leaves the window too early.
  local function refund(self, amount, since)
    if self.spent == 0 or since <= now - self.length or since > self.last_at then return end
    local key = self.key
    local last = call('LLEN', key) - 1
    local from = first_beyond(key, AT, since - 1, self.first, last)
    local _, before = entry(key, from - 1)
    local kept, total = {}, before
    for _, packed in ipairs(call('LRANGE', key, from, -1)) do
      local at, up_to = read(ENTRY, packed)
      up_to = max(before, up_to - amount)
      if up_to > total then kept[#kept + 1] = write(ENTRY, at, up_to) end
      total = up_to
    end
    call('LTRIM', key, 0, from - 1)
    if #kept > 0 then
      call('RPUSH', key, unpack(kept))
    elseif from == self.first then
      call('DEL', key)
    end
  end

  return {measured = measured, wait = wait, charge = charge, refund = refund}
end
