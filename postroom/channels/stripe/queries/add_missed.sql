-- Events that no webhook brought. $1 account, $2 how many
update postroom.stripe_reconcile set missed = missed + $2, missed_at = now() where account = $1
