-- The mirror and the ledger, in the order in which events take them. All of it at once, before anything else is locked: the
-- migrations of an upgrade are one transaction, and what one of them has locked is locked while the next one waits.
select postroom.hold('postroom.stripe_object', 'postroom.stripe_event', 'postroom.message', 'postroom.delivery',
    'postroom.dead_letter', 'postroom.endpoint', 'postroom.attempt', 'postroom.replay_run');
