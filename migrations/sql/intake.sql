-- Stripe's events take the table itself: its rows have no use any more. Who still runs the function of before waits for
-- whoever runs the new one, and the other way round: a lock of a row conflicts with the table's.
delete from postroom.intake_lock;
