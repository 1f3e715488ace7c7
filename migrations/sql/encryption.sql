-- How far the job `sealing` has come: what transactions below `xid` published lies sealed, if there is a key.
-- Made by the job's first run with a key; what is older is sealed by `postroom encryption rotate`.
create table postroom.sealing_mark (
    only_one boolean primary key default true check (only_one),
    xid bigint not null
);
