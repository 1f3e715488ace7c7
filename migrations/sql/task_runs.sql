-- What runners and operators tell each other of tasks under way. May be run again.

-- A row where a run has told how far it is, or where somebody wants it cancelled. Apart from its delivery, for a claimed row
-- that another one changes would be lost to its worker. Once the delivery has ended, runners remove it within seconds.
create table if not exists postroom.task_run (
    message_id uuid primary key,
    progress real check (progress between 0 and 1),
    cancelled_by text check (length(cancelled_by) <= 200)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
