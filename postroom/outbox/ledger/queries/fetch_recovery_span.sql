-- What a recovery may look at. $1 endpoint, $2 since, $3 until (null: now). Returns its end, which is not in the future, the
-- same as ids of messages, when the log of attempts begins, and whether the tenant has older messages since then.
select span.until, postroom.first_id_at($2) as first, postroom.first_id_at(span.until) as end, span.begin, exists (
    select from postroom.endpoint e
    join postroom.message m on m.tenant = e.tenant and m.tenant <> ''
    where e.id = $1 and m.id >= postroom.first_id_at($2) and m.id < postroom.first_id_at(span.begin)) as older
from (select least($3::timestamptz, now()) as until, postroom.attempt_log_begin() as begin) span
