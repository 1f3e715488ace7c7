-- The deployment's own secret signs nothing itself any more.
update postroom.signing_secret set shared_until = null
