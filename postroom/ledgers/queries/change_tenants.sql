-- Wait for publishers, and keep new ones waiting
select postroom.change_tenants()
