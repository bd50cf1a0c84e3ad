-- ARGV: epoch, limit of the entry's bytes, token, milliseconds.
if raw and (not sane or #raw > tonumber(ARGV[2])) then return poisoned() end
local usable = ours and state ~= 'F' and since >= ARGV[1]
if usable and string.sub(raw, 25, 44) > digits(now) then return { 'H', now, raw } end
-- The caller's own token: the answer to its first question was lost.
local held = leased()
if held and held ~= ARGV[3] then return { 'W', now, usable and raw or '', redis.call('PTTL', KEYS[2]) } end
redis.call('SET', KEYS[2], ARGV[3] .. digits(now) .. stamp, 'PX', ARGV[4])
return { 'T', now, usable and raw or '', version }
