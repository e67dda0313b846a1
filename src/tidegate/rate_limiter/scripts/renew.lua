-- Renew leases, or put them back where the store has lost them.
--
-- KEYS[1]  the sorted set in which they stand
-- ARGV[1]  how long they last, in µs
-- ARGV[2]  now (clock.lua)
-- ARGV[3+] their ids

local leases = leases_of_requests()
for index = 3, #ARGV do
  call('ZADD', KEYS[1], leases.number(now + ARGV[1]), ARGV[index])
end
leases.keep(KEYS[1], tonumber(ARGV[1]))
return #ARGV - 2
