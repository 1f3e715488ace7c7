-- Large values of Stripe's events and objects are compressed by lz4 from now on, where this build of PostgreSQL has it;
-- what is kept stays as it is. It needs a moment of nobody reading the table: a table that is busy, with a dump for one,
-- is left as it was, for its publishers must not wait for a gain in speed.
do $$
declare
    place text;
    patience constant text := current_setting('lock_timeout');
begin
    if not exists (select from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)) then
        return;
    end if;
    perform set_config('lock_timeout', '2s', true);
    foreach place in array array['stripe_event alter raw', 'stripe_object alter data'] loop
        begin
            execute 'alter table postroom.' || place || ' set compression lz4';
        exception when lock_not_available then
            raise warning 'postroom.% keeps the slower compression: the table is busy', split_part(place, ' ', 1);
        end;
    end loop;
    perform set_config('lock_timeout', patience, true);
end
$$;
