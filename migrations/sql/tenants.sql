-- Whose a delivery is, so that a claim can go around tenants without asking every message. May be run again.
-- Null for what was queued before, or by a replay of older code: nobody goes around that.
alter table postroom.delivery add column if not exists tenant text;
