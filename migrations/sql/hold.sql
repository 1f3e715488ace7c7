-- Locks the tables that the rest of a migration changes, in this order, when nobody has them, until its transaction ends. Who
-- waits for a table holds up whoever comes after, so it waits a second at a time. May be run again.
-- Errors: `lock_not_available` or `deadlock_detected` after half a minute or more.
create or replace function postroom.hold(variadic tables regclass[]) returns void
language plpgsql
set lock_timeout = '1s'
as $$
declare
    command constant text := 'lock table ' || array_to_string(tables, ', ') || ' in access exclusive mode';
begin
    for attempt in 1..30 loop
        begin
            execute command;
            exit;
        exception when lock_not_available or deadlock_detected then
            if attempt = 30 then
                raise;
            end if;
            perform pg_sleep(1);
        end;
    end loop;
end
$$;
