-- Who published, and locks that a publisher cannot reach. May be run again.

-- The login role that published, unless it owns the schema: inside `publish` the current user does. Without a default first:
-- with one, the rows that are there would get it.
alter table postroom.message add column if not exists published_by text;
alter table postroom.message alter column published_by set default nullif(session_user::text, current_user::text);

-- Stripe's events of one object take its row instead of an advisory lock, whose number anybody may hold.
create table if not exists postroom.intake_lock (
    slot smallint primary key
);
insert into postroom.intake_lock select generate_series(0, 4095) on conflict do nothing;
