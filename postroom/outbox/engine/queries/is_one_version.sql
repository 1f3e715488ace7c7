-- Whether no process of another version is at work. $1 version
select not exists (select from postroom.worker where version <> $1)
