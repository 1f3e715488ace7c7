-- Events that only fill the mirror, and of which mode and version an object is. May be run again.
-- Both tables are locked for a moment, in the order in which events take them, when nobody has them; see `hold`.
select postroom.hold('postroom.stripe_object', 'postroom.stripe_event');

-- Whether routes and handlers are run for it. Where they are not, it may come in once more, for their sake.
alter table postroom.stripe_event add column if not exists effects boolean not null default true;

-- Null where it was mirrored before this was kept.
alter table postroom.stripe_object add column if not exists livemode boolean;
alter table postroom.stripe_object add column if not exists api_version text;
