-- Let a role publish everything. $1 role. Returns what it might before; no row where it had no limit.
delete from postroom.publisher_limit where role = $1 returning tenants, channels
