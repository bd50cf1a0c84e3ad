-- ARGV: epoch, limit of the entry's bytes.
if not raw then return { 'M', now } end
if not sane or #raw > tonumber(ARGV[2]) then return poisoned() end
if state ~= 'F' and (not ours or since < ARGV[1]) then return { 'S', now } end
return { 'H', now, raw }
