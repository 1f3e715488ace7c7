-- Let go of claims that a limit has no room for, under the name of that limit: claims pass them by from now on.
-- No attempt is spent. One with an ordering key keeps its destination, within which its order is kept, and is due
-- again later.
-- $1 worker; one element a claim: $2 message ids, $3 n, $4 claim numbers, $5 names; $6 how many seconds later
update postroom.delivery d
set worker = null, claimed_at = null,
    destination = case when d.ordering_key is null then c.name else d.destination end,
    due_at = case when d.ordering_key is null then d.due_at else now() + make_interval(secs => $6) end
from unnest($2::uuid[], $3::smallint[], $4::integer[], $5::text[]) as c (message_id, n, claim_no, name)
where d.message_id = c.message_id and d.n = c.n and d.worker = $1 and d.claim_no = c.claim_no
