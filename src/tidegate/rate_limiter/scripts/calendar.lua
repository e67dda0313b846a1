-- Windows of calendar quotas: in UTC they are computed here, for a time zone or a billing day by the
-- gateway (calendars.py), which hands over four boundaries, 28 bytes a calendar, so that it is the
-- store's clock that chooses between the three windows of a gateway whose clock may be wrong.

local CALENDAR = 2 ^ 31 -- a period from here on is the number of a calendar

local function calendar_window(number, time)
  local packed = ARGV[#KEYS + 4]
  local before, start, close, after = read('>I7I7I7I7', packed, number * 28 + 1)
  if time >= start and time < close then return start, close end
  if time >= before and time < start then return before, start end
  if time >= close and time < after then return close, after end
  -- Further away than the gateway thought of: windows as long as the outermost one.
  local from, length = after, after - close
  if time < before then from, length = before, start - before end
  from = from + floor((time - from) / length) * length
  return from, from + length
end

-- Start and end, in µs, of the window of `period` seconds (0: a calendar month) around `time`.
local function window(period, time)
  if period >= CALENDAR then return calendar_window(period - CALENDAR, time) end
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
