-- Removes exactly the poisoned bytes that a reader saw, told by themselves or by their SHA-1, and the lease: they may
-- have been a floor. A key of another type is never ours.
local raw = redis.pcall('GET', KEYS[1])
if not raw then return 0 end
local foreign = type(raw) == 'table'
if not foreign and raw ~= ARGV[1] and redis.sha1hex(raw) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
