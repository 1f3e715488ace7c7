-- What flowed, in steps of $2 seconds from $1 on, for the labels $3. A level is the highest of its step.
select floor(extract(epoch from minute - $1::timestamptz) / $2::float8)::integer as step, label,
    case when label like 'level/%' then max(value) else sum(value) end::bigint as value
from postroom.flow
where minute >= $1 and label = any ($3::text[])
group by 1, 2
