-- Forget items of a replay that are delivered or cancelled, among its first ones: its count knows them. $1 run, $2 how many
-- are looked at
delete from postroom.replay_item
where ctid = any (array(
    select i.place
    from (
        select ctid as place, message_id, n, state from postroom.replay_item
        where run_id = $1 order by message_id, n limit $2
    ) i
    where i.state = 'released'
        and not exists (select from postroom.delivery d where d.message_id = i.message_id and d.n = i.n)
        and not exists (select from postroom.dead_letter l where l.message_id = i.message_id and l.n = i.n)))
