-- The next files of a search. `unknown`: the ledger no longer has all that was written into it.
-- $1 after this file, $2 most files
with next as materialized (
    select id, path, payload_bytes, stored_at, forgotten from postroom.export_file where listed and id > $1 order by id limit $2
)
select next.*, forgotten or exists (
    select from postroom.export_record r left join postroom.message m on m.id = r.message_id
    where r.file_id = next.id and (m.id is null or m.payload = '{}')) as unknown
from next order by id
