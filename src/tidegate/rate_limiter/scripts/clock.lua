-- What every script about limits begins with: the time, and short names.
-- ARGV[2] is now in µs since 1970, for tests only; empty: the store's own time.

local SECOND = 1000000
local floor, ceil, max = math.floor, math.ceil, math.max
local read, write = struct.unpack, struct.pack
local call = redis.call

local now = tonumber(ARGV[2])
local is_server_time = now == nil
if is_server_time then
  local time = call('TIME')
  now = time[1] * SECOND + time[2]
end
