-- Windows of a time zone or a billing day: the gateway knows them (calendars.py) and hands over four
-- boundaries, 28 bytes a calendar, so that the store's clock chooses between three windows, whatever
-- the gateway's clock says.
-- ARGV[n+4]  the boundaries of all calendars

local function calendar_window(number, time)
  local packed = ARGV[#KEYS + 4]
  local before, start, close, after = read('>I7I7I7I7', packed, number * 28 + 1)
  if time >= start and time < close then return start, close end
  -- Further away than the gateway thought of: windows as long as the one before, or the one after.
  local from, length = before, start - before
  if time >= close then from, length = close, after - close end
  from = from + floor((time - from) / length) * length
  return from, from + length
end
