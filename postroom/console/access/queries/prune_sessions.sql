-- Forget sessions and links that are over. $1 seconds a session may idle
with links as (
    delete from postroom.sign_in_link where expires_at < now()
)
delete from postroom.console_session where seen_at < now() - make_interval(secs => $1)
