-- ARGV: version, time to live. A live entry whose data its owner cannot read becomes the floor that it implies.
if state ~= 'L' or version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'AQ1F' .. string.sub(raw, 5, 124), 'PX', ARGV[2])
return 1
