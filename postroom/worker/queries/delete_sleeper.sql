-- Publishers need not notify any more. $1 channel, $2 worker
delete from postroom.sleeper where channel = $1 and worker = $2
