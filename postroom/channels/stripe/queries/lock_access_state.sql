-- How far the comparison of access with the mirror has come. $1 how long nothing is looked at between two rounds
select type, object_id, account, round_began_at < now() - $1::interval as due from postroom.stripe_access_state for update
