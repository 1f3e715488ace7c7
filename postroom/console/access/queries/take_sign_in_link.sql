-- Use a link up; two at once cannot both have it. $1 sha256 of the code
delete from postroom.sign_in_link where hash = $1
returning case when expires_at > now() then scopes end as scopes
