-- Who has a mail already, kept only where the server refused others of the same mail: a later attempt
-- leaves them out. Positions in the payload's list, not addresses, so that nothing personal is kept here.
create table postroom.email_accepted (
    message_id uuid not null references postroom.message on delete cascade,
    n smallint not null,
    recipient smallint not null check (recipient >= 0),
    primary key (message_id, n, recipient)
);
