-- Seconds since the jobs runner last beat, by the database's clock; null when it never did.
select extract(epoch from now() - beat_at)::float8 from postroom.job where name = 'jobs-runner'
