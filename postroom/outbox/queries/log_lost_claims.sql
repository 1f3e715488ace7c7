-- Note attempts that were made and cannot be settled, for their claims are gone: whoever took these over, or
-- claims them again after a crash of the server that forgot the claim, makes them once more.
-- $1 message ids, $2 n, $3 attempt numbers, $4 workers, $5 codes, $6 what came of them, $7 durations in ms, $8 channel,
-- $9 destinations, $10 endpoints
insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, code, reason, duration_ms,
    destination, endpoint_id)
select i.message_id, i.n, $8, i.attempt, i.worker, 'abandoned', i.code,
    'its claim was gone when it ended (' || i.outcome || '), so it may be made once more', i.duration_ms,
    postroom.logged_destination($8, i.destination, i.endpoint_id), i.endpoint_id
from unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::integer[],
        $9::text[], $10::uuid[])
    as i(message_id, n, attempt, worker, code, outcome, duration_ms, destination, endpoint_id)
