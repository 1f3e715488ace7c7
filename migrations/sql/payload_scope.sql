-- Payloads have a scope of their own; whoever saw them before the upgrade sees them still. Once only: run again, it would show
-- payloads to those who were given `admin:read` alone since.
update postroom.token set scopes = scopes || '{payload:read}'
where 'admin:read' = any (scopes) and not 'payload:read' = any (scopes);
update postroom.console_session set scopes = scopes || '{payload:read}'
where 'admin:read' = any (scopes) and not 'payload:read' = any (scopes);
update postroom.sign_in_link set scopes = scopes || '{payload:read}'
where 'admin:read' = any (scopes) and not 'payload:read' = any (scopes);
