-- Is there such a message? $1 id
select exists (select from postroom.message where id = $1)
