-- Make new files of the records that belong to none yet; a file that none is left for is not made.
-- A record that another transaction is assigning is waited for, then left to it. All who assign go by
-- message id, so that two with the same claims follow each other and cannot lock each other out.
-- One element a record: $1 message ids, $2 numbers of their files, $3 datasets, $4 positions in the file
with asked as (
    select * from unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[])
        as asked (message_id, file_no, dataset, position)
), file as materialized (
    select file_no, dataset, postroom.uuid7() as id
    from (select distinct file_no, dataset from asked) as wanted
), taken as (
    insert into postroom.export_record (message_id, file_id, position)
    select asked.message_id, file.id, asked.position
    from asked
    join file using (file_no)
    order by asked.message_id
    on conflict (message_id) do nothing
    returning file_id
)
insert into postroom.export_file (id, dataset, records)
select file.id, file.dataset, count(*)
from taken
join file on file.id = taken.file_id
group by file.id, file.dataset
