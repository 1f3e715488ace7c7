-- Records of a file that hold somebody who was erased. One that the ledger forgot is known again, to be left out;
-- its place is beyond all others.
-- $1 file id, $2 message ids, $3 their lines
insert into postroom.export_record (message_id, file_id, position, erased)
select found.message_id, $1, found.line + 1000000, true from unnest($2::uuid[], $3::integer[]) as found (message_id, line)
on conflict (message_id) do update set erased = true
