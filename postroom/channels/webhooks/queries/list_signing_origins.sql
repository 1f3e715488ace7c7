-- Origins whose secret was rotated: how often, and whether the one before signs, too.
select origin, generation, previous_until > now() as overlapping from postroom.signing_origin
