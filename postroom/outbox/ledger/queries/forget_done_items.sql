-- Forget items of a replay that are delivered or cancelled: its count knows them. $1 run, $2 at most
delete from postroom.replay_item
where ctid = any (array(
    select i.ctid
    from postroom.replay_item i
    where i.run_id = $1 and i.state = 'released'
        and not exists (select from postroom.delivery d where d.message_id = i.message_id and d.n = i.n)
        and not exists (select from postroom.dead_letter l where l.message_id = i.message_id and l.n = i.n)
    order by i.message_id, i.n limit $2))
