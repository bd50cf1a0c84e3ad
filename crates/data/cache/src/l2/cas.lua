-- ARGV: state, version or nothing, epoch, time to live, token of a fill or nothing, milliseconds until the soft deadline and
-- since the load began, data.
local new, epoch, token = ARGV[2], ARGV[3], ARGV[5]
-- The table has no versions: the master's clock orders the changes, and never goes below what is known.
local bounded = new == ''
if bounded then
    new = digits(clock[1] * 1000000 + clock[2])
    if version > new then new = version end
end
local loaded = digits(now - ARGV[7])
local function write(kind, number)
    if since > epoch then epoch = since end
    local times = digits(now + ARGV[6]) .. loaded
    redis.call('SET', KEYS[1], 'AQ1' .. kind .. number .. times .. epoch .. stamp .. ARGV[8], 'PX', ARGV[4])
end
if token ~= '' then
    local held, granted = leased()
    if held ~= token then return { 'lease', version } end
    if raw and not sane then
        -- It may have been a floor: only a load that begins now is safe.
        redis.call('DEL', KEYS[1], KEYS[2])
        return { 'lease', version }
    end
    if new < version then return { 'behind', version } end
    if epoch < since then return { 'epoch', version } end
    -- The fill may have been long on its way: the load began after the grant, and that is known.
    if granted and granted < loaded then loaded = granted end
    write(ARGV[1], new)
    redis.call('DEL', KEYS[2])
    return { 'ok', new }
end
if bounded then
    -- No version will show whether a load under way has seen the change: its lease ends here.
    write('F', new)
    redis.call('DEL', KEYS[2])
    return { 'ok', new }
end
if version > new then
    -- It has seen the change; where another master wrote it, it is no more than a floor.
    if not ours then write('F', version) end
    return { 'ok', version }
end
if version == new and ours and (state == 'L' or ARGV[1] == 'N') then return { 'ok', version } end
-- A floor ends a negative entry of its version, and renews a floor. A tombstone is written only above what is known.
if version == new then write('F', new) else write(ARGV[1], new) end
return { 'ok', new }
