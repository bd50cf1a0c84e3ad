-- ARGV: epoch, limit of the entry's bytes, token, milliseconds.
if raw and (not sane or #raw > tonumber(ARGV[2])) then return poisoned() end
local usable = ours and state ~= 'F' and since >= ARGV[1]
if usable and string.sub(raw, 25, 44) > digits(now) then return { 'H', now, raw } end
local held = redis.pcall('GET', KEYS[2])
if type(held) == 'string' and string.sub(held, -40) == stamp then
    return { 'W', now, usable and raw or '', redis.call('PTTL', KEYS[2]) }
end
redis.call('SET', KEYS[2], ARGV[3] .. stamp, 'PX', ARGV[4])
return { 'T', now, usable and raw or '', version }
