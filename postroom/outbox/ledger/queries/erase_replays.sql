-- Take the address out of what replays of many were asked for. $1 pattern. Returns how many.
with erased as (
    update postroom.replay_run set wanted = regexp_replace(wanted::text, $1, '[erased]', 'gi')::jsonb
    where wanted::text ~* $1
    returning 1
)
select count(*) from erased
