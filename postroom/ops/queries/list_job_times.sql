-- Each job's last signs of life, in Unix seconds.
select name, coalesce(extract(epoch from beat_at), 0)::float8 as beat_s,
    coalesce(extract(epoch from succeeded_at), 0)::float8 as success_s, failures
from postroom.job
