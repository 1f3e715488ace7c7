-- Accounts that the settings have no more. $1 those that they have
delete from postroom.stripe_reconcile where account <> all ($1::text[])
