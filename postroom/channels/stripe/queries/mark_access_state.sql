-- Note how far the comparison has come. $1 type, $2 object id, $3 account: looked at last, each '' after the end of a round;
-- $4 whether the round begins with this
update postroom.stripe_access_state
set type = $1, object_id = $2, account = $3, round_began_at = case when $4 then now() else round_began_at end,
    filled_at = coalesce(filled_at, case when $1 = '' then now() end)
