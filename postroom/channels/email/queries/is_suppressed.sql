-- Whether this address is never mailed. $1 address in lower case
select exists (select from postroom.suppression where address = $1)
