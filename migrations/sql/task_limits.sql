-- Limits that the code of a task declares. May be run again.

-- `declared`: what the code says, a second; it is kept beside an operator's limit, and holds again once that is removed.
select postroom.hold('postroom.delivery_limit');
alter table postroom.delivery_limit add column if not exists declared double precision check (declared > 0);
