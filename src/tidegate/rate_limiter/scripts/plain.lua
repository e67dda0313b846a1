-- Nothing but buckets and quotas in UTC, one cost for all of them, none in the shadow.
-- ARGV[1]  the cost, a whole number of at least 1; 0 asks without spending

local LIMIT, LIMIT_SIZE = '>I6I4I7I4', 21
local cost, states_count = tonumber(ARGV[1]), #KEYS
local others, calendar_window
