-- Of a dataset, by the day of their folder.
-- $1 dataset or null, $2 first day or null, $3 the day after the last or null, $4 tenant or null, $5 most files
where ($1::text is null or f.dataset = $1)
    and ($2::date is null or coalesce(p.day, (f.opened_at at time zone 'utc')::date) >= $2)
    and ($3::date is null or coalesce(p.day, (f.opened_at at time zone 'utc')::date) < $3)
    and ($4::text is null or p.tenant = $4)
order by day, f.folder, f.opened_at, f.id
limit $5
