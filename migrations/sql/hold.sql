-- The tables that the rest of a migration changes, for a moment, when nobody has them: while this waits for a long
-- transaction, publishers would wait behind it, so it waits a second at a time.
do $$
declare
    patience constant text := current_setting('lock_timeout');
begin
    perform set_config('lock_timeout', '1s', true);
    for attempt in 1..30 loop
        begin
            lock table postroom.message, postroom.delivery, postroom.dead_letter, postroom.endpoint, postroom.attempt,
                postroom.replay_run in access exclusive mode;
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
