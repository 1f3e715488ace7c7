-- A process that works says that it is there. $1 host, $2 pid, $3 role, $4 version
insert into postroom.worker (host, pid, role, version) values ($1, $2, $3, $4) returning id
