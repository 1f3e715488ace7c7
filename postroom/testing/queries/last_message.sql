-- The newest message that is committed: what comes after it is of this test.
select id::text from postroom.message order by id desc limit 1
