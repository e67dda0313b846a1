-- Windows of calendar quotas in UTC; those of a calendar are zones.lua's.

-- Start and end, in µs, of the window of `period` seconds (0: a calendar month; from 2^31 on:
-- the number of a calendar) around `time`.
local function window(period, time)
  if period >= 2 ^ 31 then return calendar_window(period - 2 ^ 31, time) end
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
