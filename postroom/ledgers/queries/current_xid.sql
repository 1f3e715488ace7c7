-- A transaction id that is later than any of before
select pg_current_xact_id()::text
