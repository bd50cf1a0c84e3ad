-- ARGV: token. Gives back a lease that will not be used.
if leased() ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
