-- Versions of processes at work, other than $1
select distinct version from postroom.worker where version <> $1 order by version
