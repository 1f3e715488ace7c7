-- Urgency: the state in which a delivery waits says in which lane of its channel it does. May be run again.

-- Both tables for a moment, when nobody has them: while this waits for a long transaction, publishers would wait behind
-- it, so it waits a second at a time.
do $$
declare
    patience constant text := current_setting('lock_timeout');
begin
    perform set_config('lock_timeout', '1s', true);
    for attempt in 1..30 loop
        begin
            lock table postroom.delivery, postroom.dead_letter in access exclusive mode;
            exit;
        exception when lock_not_available then
            if attempt = 30 then
                raise;
            end if;
            perform pg_sleep(1);
        end;
    end loop;
    perform set_config('lock_timeout', patience, true);
end
$$;

-- Not validated, which would read every row: the checks of before were stricter.
alter table postroom.delivery
    drop constraint if exists delivery_state_check,
    add constraint delivery_state_check check (state in
        ('pending', 'retry', 'pending_urgent', 'retry_urgent', 'pending_bulk', 'retry_bulk')) not valid,
    drop constraint if exists delivery_check1,
    add constraint delivery_check1 check (state like 'retry%' or attempts = 0) not valid;
-- So that a replay has the urgency of before; null is normal.
alter table postroom.dead_letter add column if not exists urgency text;
