-- Have files looked through for a person, where there are some.
-- $1 pattern
insert into postroom.export_search (pattern) select $1 where exists (select from postroom.export_file where listed)
