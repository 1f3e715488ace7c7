-- What mails were rendered from: each version of a template once, and its hash wherever a rendered mail is tried. May be
-- run again. The columns have no value and rewrite nothing; who waits for a table holds up whoever comes after, so it is
-- tried a second at a time.
select postroom.hold('postroom.delivery', 'postroom.dead_letter', 'postroom.attempt');

-- What the next attempt sends again; null: nothing was made from a template yet. Of an attempt: what it was made from.
alter table postroom.delivery add column if not exists content_hash bytea;
alter table postroom.dead_letter add column if not exists content_hash bytea;
alter table postroom.attempt add column if not exists content_hash bytea;

-- `files`: the template's own and all that they include, by name. Read at a retry or a preview; never changed.
create table if not exists postroom.email_template (
    hash bytea primary key check (octet_length(hash) = 16),
    name text not null,
    files jsonb not null,
    first_used_at timestamptz not null default now(),
    last_used_at timestamptz not null default now()
);

-- For people and reports; see reading.sql.
create or replace view postroom.attempt_view as
select message_id, n, channel, attempt, worker, outcome, code, reason, duration_ms, ended_at, destination, endpoint_id,
    content_hash
from postroom.attempt;
