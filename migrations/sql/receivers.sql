-- Messages that nobody listened to: added up by the canary, as what was published is, so that no publisher
-- writes a counter that another one waits for.
alter table postroom.ledger_fold add column if not exists no_receiver bigint not null default 0;
alter table postroom.ledger_check add column if not exists no_receiver bigint not null default 0;
