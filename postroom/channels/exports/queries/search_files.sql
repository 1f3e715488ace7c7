-- Have files looked through for a person, where there are some that are written or may have been.
-- $1 pattern
insert into postroom.export_search (pattern) select $1 where exists (select from postroom.export_file where closes_at is null)
