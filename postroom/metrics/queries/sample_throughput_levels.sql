-- Keep how much was open and dead when the canary last counted, and how much of the dead is Stripe's.
insert into postroom.flow (minute, label, value)
select date_trunc('minute', now()), level.label, level.value
from postroom.ledger_check c
cross join lateral (values
    ('level/open', c.open),
    ('level/dead', c.dead),
    ('level/dead/stripe', (select count(*) from postroom.dead_letter where channel = 'stripe'))
) level (label, value)
on conflict (minute, label) do update set value = excluded.value
