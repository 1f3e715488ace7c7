-- A signing secret for each origin, derived from the deployment's own. May be run again.

-- Up to then webhooks to a url are signed with the deployment's own secret, too, which their receivers know from before:
-- 30 days from the upgrade. A secret that is made from now on was never given to anybody.
alter table postroom.signing_secret add column if not exists shared_until timestamptz;
update postroom.signing_secret set shared_until = now() + interval '30 days' where shared_until is null;

-- The origins whose secret was rotated: how often, and until when the one before signs, too.
create table if not exists postroom.signing_origin (
    origin text primary key check (length(origin) <= 300),
    generation integer not null check (generation > 0),
    previous_until timestamptz not null
);
