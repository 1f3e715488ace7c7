-- $1 secret.
insert into postroom.signing_secret (secret) values ($1) on conflict do nothing
