-- How many endpoints, and whether the deployment, keep a signing secret that lies open.
select (
    select count(*) from postroom.endpoint
    where not starts_with(secret, 'sealed:1:') or not starts_with(coalesce(previous_secret, 'sealed:1:'), 'sealed:1:')
) + (
    select count(*) from postroom.signing_secret
    where not starts_with(secret, 'sealed:1:') or not starts_with(coalesce(previous_secret, 'sealed:1:'), 'sealed:1:')
)
