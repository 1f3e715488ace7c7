-- What a publisher gives is checked by the functions that publish, for PostgreSQL parses a table's CHECKs again for each statement: 12 of
-- them took two fifths of a call. See ADR 49. May be run again.

-- Errors: always, a `check_violation` that names the first that does not fit as the CHECK of a column would.
create or replace function postroom.refuse_texts(
    type text, tenant text, key text, correlation_id text, ordering_key text, traceparent text
) returns boolean
language plpgsql immutable parallel safe
as $$
declare
    wrong record;
begin
    select f.name, f.most into wrong
    from (values ('type', type, 200), ('tenant', tenant, 200), ('key', key, 500), ('correlation_id', correlation_id, 200),
        ('ordering_key', ordering_key, 500), ('traceparent', traceparent, 100)) f(name, value, most)
    where length(f.value) > f.most or f.name = 'ordering_key' and f.value = '';
    raise check_violation using message = format('%s is empty or longer than %s characters', wrong.name, wrong.most),
        schema = 'postroom', table = 'message', column = wrong.name, constraint = format('message_%s_check', wrong.name);
end
$$;
revoke all on function postroom.refuse_texts(text, text, text, text, text, text) from public;

-- True, or the error that names what does not fit. It is inlined where it is used.
create or replace function postroom.texts_fit(
    type text, tenant text, key text, correlation_id text, ordering_key text, traceparent text
) returns boolean
language sql immutable parallel safe
as $$
    select case when length(type) > 200 or length(tenant) > 200 or length(key) > 500 or length(correlation_id) > 200
            or length(ordering_key) > 500 or ordering_key = '' or length(traceparent) > 100
        then postroom.refuse_texts(type, tenant, key, correlation_id, ordering_key, traceparent) else true end
$$;
revoke all on function postroom.texts_fit(text, text, text, text, text, text) from public;

-- The most bytes of a payload, as jsonb keeps them: more than anything that its channel sends.
create or replace function postroom.payload_bytes_max(channel text) returns integer
language sql immutable parallel safe
as $$
    select case channel when 'email' then 33554432 when 'stripe' then 8388608 else 2097152 end
$$;

-- Errors: where a payload is larger than its channel may have. One that came compressed is measured as text.
create or replace function postroom.check_size(channel text, payload jsonb) returns void
language plpgsql stable parallel safe
as $$
declare
    bytes constant bigint := case when pg_column_compression(payload) is null then pg_column_size(payload)
        else octet_length(payload::text) end;
begin
    if bytes > postroom.payload_bytes_max(channel) then
        raise program_limit_exceeded using message = format('a payload of %s bytes; %s takes at most %s',
            bytes, channel, postroom.payload_bytes_max(channel));
    end if;
end
$$;
revoke all on function postroom.payload_bytes_max(text) from public;
revoke all on function postroom.check_size(text, jsonb) from public;
