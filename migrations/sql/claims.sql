-- What a worker holds is found by an index, and whose worker has died is watched. May be run again.

-- One row a claim, so one for up to 500 deliveries, made with it and deleted some time after the last of them has ended: a
-- row may name what has ended or what others hold by now. An index of the deliveries' worker would cost each claim
-- an entry in every index, for only what no index holds is updated in place.
create table if not exists postroom.claim_batch (
    id bigint generated always as identity primary key,
    worker bigint not null,
    channel text not null,
    claimed_at timestamptz not null default now(),
    message_ids uuid[] not null,
    ns smallint[] not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
        toast.autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_vacuum_cost_delay = 0);
-- Some 8 kB of ids for a claim of 500, which no compression makes much smaller.
alter table postroom.claim_batch alter column message_ids set storage external;
create index if not exists claim_batch_worker on postroom.claim_batch (worker, channel, claimed_at);

-- Null for nearly all. Else a worker has died while it held the delivery, and from then on each start is written down
-- before it is made: the number of the claim under which that was last done; 0: not yet.
alter table postroom.delivery add column if not exists started_no integer;
