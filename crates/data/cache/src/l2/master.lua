-- Who this is, if it is a master that serves.
local role = string.match(redis.call('INFO', 'replication'), 'role:(%a+)')
return { role == 'master' and stamp or '' }
