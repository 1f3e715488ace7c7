-- Take one address out of what a part of the trail says. $1 before the @, $2 domains, $3 after this entry, $4 how many
select last, erased from postroom.erase_from_audit($1, $2, $3, $4)
