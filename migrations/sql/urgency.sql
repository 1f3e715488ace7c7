-- Urgency: the state in which a delivery waits says in which lane of its channel it does. May be run again.

-- Not validated, which would read every row: the checks of before were stricter.
alter table postroom.delivery
    drop constraint if exists delivery_state_check,
    add constraint delivery_state_check check (state in
        ('pending', 'retry', 'pending_urgent', 'retry_urgent', 'pending_bulk', 'retry_bulk')) not valid,
    drop constraint if exists delivery_check1,
    add constraint delivery_check1 check (state like 'retry%' or attempts = 0) not valid;
-- So that a replay has the urgency of before; null is normal.
alter table postroom.dead_letter add column if not exists urgency text;
