-- What every script begins with. An entry is: AQ1, state (Live, Negative, Floor), version, soft deadline, load time
-- and epoch (20 digits each), stamp (40 hex digits), data. A lease is: token, time of the grant (20 digits), stamp.
local HEADER = '^AQ1[LNF]' .. string.rep('%d', 80) .. string.rep('%x', 40)
local MAX = '18446744073709551615'
local stamp = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function digits(number) return string.format('%020.0f', number) end
local raw = redis.pcall('GET', KEYS[1])
local sane = type(raw) == 'string' and string.find(raw, HEADER) ~= nil
if sane then
    for at = 5, 65, 20 do sane = sane and string.sub(raw, at, at + 19) <= MAX end
end
local state = sane and string.sub(raw, 4, 4)
local version = sane and string.sub(raw, 5, 24) or digits(0)
local since = sane and string.sub(raw, 65, 84) or digits(0)
local ours = sane and string.sub(raw, 85, 124) == stamp
local function poisoned() return { 'P', now, type(raw) == 'string' and redis.sha1hex(raw) or '' } end
-- The lease that lives, if this master granted it: its token and when it was granted.
local function leased()
    local held = redis.pcall('GET', KEYS[2])
    if type(held) ~= 'string' or #held < 60 or string.sub(held, -40) ~= stamp then return nil end
    return string.sub(held, 1, -61), string.sub(held, -60, -41)
end
