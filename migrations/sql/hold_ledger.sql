select postroom.hold('postroom.message', 'postroom.delivery', 'postroom.dead_letter', 'postroom.endpoint', 'postroom.attempt',
    'postroom.replay_run');
