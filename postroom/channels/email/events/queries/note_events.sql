-- Note events of mails that are in the ledger, each once. $1 provider; in the same order: $2 ids, $3 message ids, $4 kinds,
-- $5 whether permanent, $6 masked recipients, $7 reasons, $8 times. Returns those whose mail is known: `number`, from 1;
-- `tenant` and `key`, the mail's; `is_new`. A message cannot go away before the transaction ends.
with given as (
    select * from unnest($2::bytea[], $3::uuid[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::timestamptz[])
        with ordinality as g (event_id, message_id, kind, permanent, recipient, reason, at, number)
), known as (
    select g.*, m.tenant, m.key
    from given g
    join postroom.message m on m.id = g.message_id and m.channel = 'email'
    for key share of m
), new as (
    insert into postroom.email_event (provider, event_id, message_id, kind, permanent, recipient, reason, at)
    select $1, event_id, message_id, kind, permanent, recipient, reason, at from known order by number
    on conflict do nothing
    returning event_id
)
select k.number, k.tenant, k.key, new.event_id is not null as is_new
from known k
left join new using (event_id)
order by k.number
